from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core import schemas
from dualvla_core.errors import ArtifactError
from dualvla_core.report import measures
from dualvla_core.report.model import EpisodeRow, SkippedEpisode

from .conftest import HandMade, MakeContext, MakeCurated

FIRST = HandMade("a" * 64, "F.sKKs.a", words=5, boundaries=(3,), flips=(4,))
SECOND = HandMade("b" * 64, "..K.", words=3, boundaries=(2,))
SILENT = HandMade("c" * 64, "KKa...", boundaries=(0, 1))


def test_rows_count_what_each_episode_holds(make_curated: MakeCurated, make_context: MakeContext) -> None:
    sources = [make_curated([FIRST, SECOND], name="one"), make_curated([SILENT], name="two")]
    context = make_context([FIRST, SECOND, SILENT])
    curation = measures.read_curation(sources, context)
    rows = measures.episode_rows(curation, context)
    assert curation.basis == "frames with reasoning"
    assert [(row.frames, row.considered, row.kept, row.ratio) for row in rows] == [
        (8, 8, 3, 3 / 8),
        (4, 4, 1, 1 / 4),
        (6, 0, 0, None),
    ]
    assert [(row.words_before, row.words_after) for row in rows] == [(40, 15), (12, 3), (0, 0)]
    assert [(row.boundaries, row.gripper_flips) for row in rows] == [(1, 1), (1, 0), (2, 0)]
    assert [row.seconds for row in rows] == pytest.approx([0.8, 0.4, 0.6])
    assert [row.split for row in rows] == ["train", "train", "held_out"]


def test_totals_and_labels_add_up(make_curated: MakeCurated, make_context: MakeContext) -> None:
    context = make_context([FIRST, SECOND, SILENT])
    curation = measures.read_curation([make_curated([FIRST, SECOND, SILENT])], context)
    total = measures.totals(measures.episode_rows(curation, context), skipped=2)
    assert (total.episodes, total.skipped, total.frames, total.reasoning_frames) == (3, 2, 18, 12)
    assert (total.considered, total.kept, total.ratio) == (12, 4, 4 / 12)
    assert total.seconds == pytest.approx(1.8)
    labels = measures.labels(curation)  # of the twelve frames with reasoning only
    assert (labels.scene, labels.action, labels.both) == (5, 4, 3)
    assert (labels.kept_otherwise, labels.dropped_otherwise) == (1, 0)


def test_without_reasoning_the_ratio_is_a_share_of_all_frames(
    make_curated: MakeCurated, make_context: MakeContext
) -> None:
    context = make_context([SILENT])
    curation = measures.read_curation([make_curated([SILENT])], context)
    (row,) = measures.episode_rows(curation, context)
    assert curation.basis == "all frames"
    assert (row.considered, row.kept, row.ratio, row.reasoning_frames) == (6, 2, 2 / 6, 0)
    assert measures.labels(curation).action == 3


def test_every_frame_falls_under_one_rule(make_curated: MakeCurated, make_context: MakeContext) -> None:
    context = make_context([FIRST, SECOND])
    found = measures.rules(measures.read_curation([make_curated([FIRST, SECOND])], context))
    assert [(rule.rule, rule.keep, rule.frames) for rule in found] == [
        ("dropped: no event boundary and steady motion", False, 5),
        ("kept: event boundary and acceleration", True, 3),
        ("dropped: steady motion", False, 2),
        ("dropped: no event boundary", False, 1),
        ("kept: first frame", True, 1),
    ]
    assert sum(rule.share for rule in found) == pytest.approx(1)


def test_episodes_outside_the_context_do_not_count(make_curated: MakeCurated, make_context: MakeContext) -> None:
    context = make_context([SECOND])
    curation = measures.read_curation([make_curated([FIRST, SECOND])], context)
    assert curation.decisions.height == 4
    assert [row.episode for row in measures.episode_rows(curation, context)] == [SECOND.name]


def test_an_episode_in_two_segments_counts_once(make_curated: MakeCurated, make_context: MakeContext) -> None:
    sources = [make_curated([FIRST], name="one"), make_curated([FIRST, SECOND], name="two")]
    context = make_context([FIRST, SECOND])
    curation = measures.read_curation(sources, context)
    assert curation.decisions.height == 12
    assert [row.frames for row in measures.episode_rows(curation, context)] == [8, 4]


def test_undecodable_episodes_are_listed_with_their_reason(
    make_curated: MakeCurated, make_context: MakeContext
) -> None:
    source = make_curated([FIRST])
    row = {"episode_index": 9, "episode": SECOND.name, "reason": "The video ends early."}
    pq.write_table(pa.Table.from_pylist([row], schemas.SKIPPED), source.segment / "skipped.parquet")
    earlier = SkippedEpisode(dataset="blocks", episode_index=7, episode=None, reason="A file is missing.")
    context = make_context([FIRST, SECOND], skipped=(earlier, earlier))
    skipped = measures.read_curation([source], context).skipped
    assert [(each.episode_index, each.episode, each.reason) for each in skipped] == [
        (1, SECOND.name, "The video ends early."),
        (7, None, "A file is missing."),
    ]


def test_an_episode_that_nobody_curated_is_an_error(make_curated: MakeCurated, make_context: MakeContext) -> None:
    source, context = make_curated([FIRST]), make_context([FIRST, SECOND])
    with pytest.raises(ArtifactError, match="Episode 1 of 'blocks' is in no curated segment"):
        measures.read_curation([source], context)


def test_a_missing_or_foreign_table_is_an_error(make_curated: MakeCurated, make_context: MakeContext) -> None:
    source = make_curated([FIRST])
    pq.write_table(pa.table({"episode": ["x"]}), source.decisions / "decisions.parquet")
    with pytest.raises(ArtifactError, match=r"decisions\.parquet lacks the column 'frame_index'"):
        measures.read_curation([source], make_context([FIRST]))
    (source.decisions / "decisions.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"decisions\.parquet is missing"):
        measures.read_curation([source], make_context([FIRST]))


def test_groups_are_weighted_by_frames_and_sorted_by_ratio() -> None:
    def row(task: str, considered: int, kept: int) -> EpisodeRow:
        zeros = dict.fromkeys(("boundaries", "gripper_flips", "words_before", "words_after", "episode_index"), 0)
        texts = {"episode": "e", "dataset": "d", "task": task, "instruction": "i", "split": "train"}
        ratio = kept / considered if considered else None
        counts = {"frames": 10, "reasoning_frames": considered, "considered": considered, "kept": kept}
        return EpisodeRow(**texts, **zeros, **counts, seconds=1.0, ratio=ratio)

    found = measures.retention_by(
        [row("low", 10, 1), row("none", 0, 0), row("high", 2, 2), row("low", 10, 3), row("also", 5, 1)],
        lambda each: each.task,
    )
    assert [(each.name, each.episodes, each.ratio) for each in found] == [
        ("high", 1, 1.0),
        ("also", 1, 0.2),
        ("low", 2, 0.2),
        ("none", 1, None),
    ]
