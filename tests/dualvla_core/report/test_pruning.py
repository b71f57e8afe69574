from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.report.context import ReportContext
from dualvla_core.report.measures import Curation, episode_rows, read_curation
from dualvla_core.report.model import FilmStripChoice
from dualvla_core.report.pruning import reasoning_change, retention_of_rules, surprises
from dualvla_core.report.sample import add_surprising
from dualvla_core.report.stage import write_report

from .conftest import HandMade, MakeContext, MakeCurated

# ten frames each: five with the scene label and six with the action label, four with both
ORDINARY = [HandMade(f"{index:064x}", "..sKKKKaa.", words=3, boundaries=(4,)) for index in range(5)]
ODD = HandMade(f"{9:064x}", "KKKKKKKKK.", words=3, boundaries=(1, 4, 8))


def test_every_rule_by_hand(make_curated: MakeCurated, make_context: MakeContext) -> None:
    context = make_context(ORDINARY)
    (everything, dataset, task) = retention_of_rules(read_curation([make_curated(ORDINARY)], context), context)
    assert (everything.kind, everything.name, dataset.kind, task.name) == ("all", "", "dataset", "push")
    assert everything.ratios == task.ratios
    assert everything.ratios == pytest.approx(
        {"dual": 0.4, "scene_only": 0.5, "action_only": 0.6, "none": 1.0, "random": 0.4, "uniform": 0.4}
    )


def test_the_first_frame_is_counted_where_it_is_kept(make_curated: MakeCurated, make_context: MakeContext) -> None:
    context = make_context(ORDINARY, parameters={"prune_reasoning": ({"keep_first_frame": True, "rule": "dual"},)})
    everything = retention_of_rules(read_curation([make_curated(ORDINARY)], context), context)[0]
    assert everything.ratios["dual"] == pytest.approx(0.5)
    assert everything.ratios["random"] == pytest.approx(0.5)


def test_tasks_are_told_apart(make_curated: MakeCurated, make_context: MakeContext) -> None:
    episodes = [ORDINARY[0], ODD]
    context = make_context(episodes, tasks=("push", "pull"))
    found = {entry.name: entry.ratios["dual"] for entry in retention_of_rules(_read(make_curated, context), context)}
    assert found["push"] == pytest.approx(0.4)
    assert found["pull"] == pytest.approx(0.9)
    assert found[""] == pytest.approx(0.65)


def _read(make_curated: MakeCurated, context: ReportContext) -> Curation:
    return read_curation([make_curated([ORDINARY[0], ODD])], context)


def test_the_text_is_that_of_kept_frames(make_curated: MakeCurated, make_context: MakeContext) -> None:
    context = make_context(ORDINARY)
    source = make_curated(ORDINARY)
    change = reasoning_change([source], read_curation([source], context))
    assert change is not None
    assert (change.before.frames, change.after.frames) == (50, 20)
    assert change.after.tokens / change.before.tokens == pytest.approx(0.4)
    assert (change.before.texts, change.after.texts) == (1, 1)
    assert change.before.bits_per_frame == 0


def test_without_reasoning_there_is_no_text(make_curated: MakeCurated, make_context: MakeContext) -> None:
    silent = [HandMade("0" * 64, "..KK..")]
    source = make_curated(silent)
    assert reasoning_change([source], read_curation([source], make_context(silent))) is None


def test_what_surprises_is_named_drawn_and_shown(
    make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path
) -> None:
    episodes = [*ORDINARY, ODD]
    context, source = make_context(episodes), make_curated(episodes)
    rows = episode_rows(read_curation([source], context), context)
    (surprise,) = surprises(rows, 10)
    assert (surprise.episode, surprise.quantity) == (ODD.name, "retention")
    assert (surprise.value, surprise.median) == (0.9, 0.4)
    # the others do not deviate at all, so the unit is the mean deviation, a sixth of this one's
    assert surprise.deviation == pytest.approx(0.7979 * 6)
    assert surprises(rows, 0) == ()
    assert surprises(rows[-3:], 10) == ()  # too few to say what is usual
    output = tmp_path / "out"
    output.mkdir()
    write_report([source], context, output)
    page = (output / "report.html").read_text(encoding="utf-8")
    assert 'id="compared"' in page
    assert 'id="text"' in page
    assert f'<td class="number"><a href="#episode-{ODD.name}">' in page
    assert "surprising: retention 0.9, above the median 0.4" in page


def test_usual_differences_surprise_nobody(make_curated: MakeCurated, make_context: MakeContext) -> None:
    lengths = [8, 9, 10, 11, 12, 13]  # median deviation 1.5 of a median of 10.5: 13 deviates by 1.1
    episodes = [HandMade(f"{n:064x}", "K" * n, words=1, boundaries=()) for n in lengths]
    context = make_context(episodes)
    assert surprises(episode_rows(read_curation([make_curated(episodes)], context), context), 10) == ()


def test_an_episode_is_drawn_once_with_all_its_reasons(make_curated: MakeCurated, make_context: MakeContext) -> None:
    episodes = [*ORDINARY, ODD]
    context = make_context(episodes)
    rows = episode_rows(read_curation([make_curated(episodes)], context), context)
    chosen = (FilmStripChoice(episode=ODD.name, why="highest retention of all"),)
    (only,) = add_surprising(chosen, surprises(rows, 10))
    assert only.why.startswith("highest retention of all, surprising: ")
