from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from dualvla_core import schemas
from dualvla_core.params import Summary
from dualvla_core.report.context import CuratedSegment, ReportContext
from dualvla_core.report.model import DatasetFacts, Report, StageNode
from dualvla_core.report.stage import write_report

from .conftest import HandMade, MakeContext, MakeCurated
from .page_reader import Page

REASONED = [
    HandMade(f"{index:064x}", "F" + "." * (6 + index) + "sKKa", words=4, boundaries=(8 + index,)) for index in range(14)
]
SILENT = [HandMade(f"{index:064x}", "..sKKa..", boundaries=(3,)) for index in range(3)]
ATTACK = "<script>alert('x')</script><img src=x onerror=\"alert(1)\"> 打开抽屉"
SCAN = StageNode(stage="scan", key="k1", digest="d1", version=1)
DECODE = StageNode(stage="decode", key="k2", digest="d2", version=1, inputs=("k1",))


def _write(sources: list[CuratedSegment], context: ReportContext, output: Path) -> tuple[Summary, Report, str]:
    output.mkdir()
    summary = write_report(sources, context, output)
    assert sorted(path.name for path in output.iterdir()) == ["report.html", "report.json"]
    report = Report.model_validate_json((output / "report.json").read_text(encoding="utf-8"))
    return summary, report, (output / "report.html").read_text(encoding="utf-8")


def test_the_numbers_are_those_of_the_tables(
    make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path
) -> None:
    sources = [make_curated(REASONED[:9], name="one"), make_curated(REASONED[9:], name="two")]
    context = make_context(
        REASONED, tasks=("push", "pull"), lineage=(SCAN, DECODE), parameters={"pruning": ({"seed": 3},)}
    )
    summary, report, html = _write(sources, context, tmp_path / "out")
    frames = sum(len(each.frames) for each in REASONED)
    assert summary == {
        "episodes": 14,
        "skipped": 0,
        "frames": frames,
        "kept": 42,
        "retention": 42 / frames,
        "basis": "frames with reasoning",
    }
    assert report.labels.both == 28
    assert report.labels.kept_otherwise == 14
    assert [group.name for group in report.by_split] == ["train", "held_out"]
    assert {group.name: group.episodes for group in report.by_task} == {"push": 7, "pull": 7}
    words = Page(html).words
    assert f"{100 * 42 / frames:.1f} % of the frames with reasoning keep it." in words
    assert "Another rule kept 14 more frames." in words
    assert "By episode" in words  # enough episodes for a histogram


def test_progress_counts_the_film_strips(make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    episodes = [HandMade(f"{index:064x}", "K" * (2 * index + 1) + "....") for index in (1, 0, 2)]
    write_report([make_curated(episodes)], make_context(episodes), tmp_path, lambda *args: told.append(args))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_page_needs_nothing_else(make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path) -> None:
    _, _, html = _write([make_curated(REASONED)], make_context(REASONED), tmp_path / "out")
    page = Page(html)
    assert page.links
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert "url(" not in html
    assert "@import" not in html
    anchors = [link[1:] for link in page.links if link.startswith("#")]
    assert all(f'id="{anchor}"' in html for anchor in anchors)


def test_only_its_own_script_may_run(make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path) -> None:
    _, _, html = _write([make_curated(SILENT)], make_context(SILENT), tmp_path / "out")
    (script,) = re.findall(r"<script>(.*?)</script>", html, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html


def test_text_of_the_data_is_never_markup(make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path) -> None:
    source = make_curated(REASONED[:3])
    index = pq.read_table(source.segment / "episodes.parquet").to_pylist()
    table = pq.read_table(source.segment / "episodes.parquet")
    dangerous = [{**row, "instruction": ATTACK} for row in index]
    pq.write_table(table.from_pylist(dangerous, table.schema), source.segment / "episodes.parquet")
    facts = DatasetFacts(name=ATTACK, layout=ATTACK, robot=ATTACK, embodiment=ATTACK, warnings=(ATTACK,))
    context = make_context(REASONED[:3], tasks=(ATTACK,))
    entries = tuple(entry.model_copy(update={"dataset": ATTACK}) for entry in context.episodes)
    node = SCAN.model_copy(update={"stage": ATTACK})
    parameters = {ATTACK: ({ATTACK: ATTACK},)}
    hostile = {"title": ATTACK, "datasets": (facts,), "episodes": entries, "lineage": (node,), "parameters": parameters}
    _, report, html = _write([source], ReportContext(**hostile), tmp_path / "out")
    page = Page(html)
    assert page.tags.count("script") == 1
    assert "onerror" not in page.attributes
    assert page.words.count("alert('x')") >= 10
    assert "打开抽屉" in page.words
    assert report.episodes[0].instruction == ATTACK


def test_the_same_inputs_give_the_same_bytes(
    make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path
) -> None:
    source, context = make_curated(REASONED), make_context(REASONED)
    for name in ("one_out", "two_out"):
        _write([source], context, tmp_path / name)
    for file in ("report.json", "report.html"):
        content = (tmp_path / "one_out" / file).read_bytes()
        assert content == (tmp_path / "two_out" / file).read_bytes()
        assert str(tmp_path).encode() not in content


def test_without_reasoning_it_says_what_the_ratio_means(
    make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path
) -> None:
    source = make_curated(SILENT, space="joints", gripper=False, cameras=("front", "side"))
    summary, report, html = _write([source], make_context(SILENT), tmp_path / "out")
    assert (summary["basis"], summary["retention"]) == ("all frames", 0.25)
    assert report.totals.reasoning_frames == 0
    words = Page(html).words
    assert "25.0 % of all frames are key-frames." in words
    assert "These demonstrations carry no reasoning, so there was nothing to prune." in words
    assert "Gripper opening" not in words
    assert "Words of reasoning" not in words


def test_statistics_questions_lineage_and_parameters_are_shown(
    make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path
) -> None:
    column = {key: [-1.5] for key in ("mean", "std", "min", "max", "q01", "q99")}
    statistics = {"arm": {"action": {**column, "mask": [True]}, "num_transitions": 8, "num_trajectories": 1}}
    (tmp_path / "statistics.json").write_text(json.dumps(statistics))
    jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    texts = {"question": "How many cubes?", "answer": "Two.", "category": "count", "split": "train"}
    questions = pa.Table.from_pylist([{"sample": "s", "image": jpeg, **texts}], schemas.MULTIMODAL)
    with pa.ipc.new_file(str(tmp_path / "multimodal.arrow"), schemas.MULTIMODAL) as writer:
        writer.write_table(questions)
    shown = {"lineage": (SCAN, DECODE), "parameters": {"prune_reasoning": ({"span": {"seconds": 0.375}},)}}
    context = make_context(SILENT, statistics=tmp_path, multimodal=tmp_path, **shown)
    _, report, html = _write([make_curated(SILENT)], context, tmp_path / "out")
    words = Page(html).words
    assert report.multimodal is not None
    assert report.multimodal.samples == 1
    assert report.statistics[0].mean == -1.5
    assert report.lineage == (SCAN, DECODE)
    assert "How many cubes? Two." in words
    assert "action 0 −1.5" in words
    assert "prune reasoning span.seconds 0.375" in words
    assert "decode v1 k2 d2" in words
    assert "scan v1 k1 d1" in words


def test_no_episode_at_all(make_context: MakeContext, tmp_path: Path) -> None:
    summary, report, html = _write([], make_context([]), tmp_path / "out")
    assert (summary["episodes"], summary["retention"], report.totals.ratio) == (0, 0.0, None)
    assert "No episode was curated." in Page(html).words


def test_one_frame_episodes(make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path) -> None:
    episodes = [HandMade("a" * 64, "F", words=2)]
    _, report, html = _write([make_curated(episodes)], make_context(episodes), tmp_path / "out")
    assert report.totals.ratio == 1.0
    assert "undefined: fewer than three frames" in Page(html).words


def test_hundreds_of_episodes_stay_a_small_page(
    make_curated: MakeCurated, make_context: MakeContext, tmp_path: Path
) -> None:
    episodes = [HandMade(f"{index:064x}", ".sKa.", words=2, boundaries=(2,)) for index in range(300)]
    tasks = [f"task {index}" for index in range(40)]
    _, report, html = _write([make_curated(episodes)], make_context(episodes, tasks=tasks), tmp_path / "out")
    assert len(report.episodes) == 300
    assert len(report.film_strips) <= 8
    assert "24 more" in Page(html).words  # tasks behind a fold
    assert len(html) < 1_000_000


def test_a_context_that_contradicts_itself_is_refused(make_context: MakeContext) -> None:
    with pytest.raises(ValidationError, match="the datasets \\['elsewhere'\\] are used, only \\['blocks'\\]"):
        make_context([], phases={"elsewhere": Path("phases.parquet")})
