from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episodes
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import DatasetError
from dualvla_core.exports import ExportConfig, export_lerobot
from tests.dualvla_core.exports.conftest import Curated, MakeCurated


def _export(curated: Curated, **params: object) -> dict[str, int | float | str]:
    return export_lerobot(ExportConfig(**params), curated.collection, curated.segments, curated.output)  # type: ignore[arg-type]


def _data(root: Path) -> list[dict[str, object]]:
    return [row for path in sorted(root.glob("data/*/*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_frames_and_actions_all_stay_and_reasoning_where_it_was_kept(make_curated: MakeCurated) -> None:
    curated = make_curated()
    assert _export(curated) == {"episodes": 3, "frames": 15, "frames_with_reasoning": 3 + 2 + 2}
    rows = _data(curated.output)
    assert [(row["episode_index"], row["frame_index"]) for row in rows] == [
        (episode, frame) for episode, length in enumerate((6, 4, 5)) for frame in range(length)
    ]
    segments = [Segment(pruned.segment) for pruned in curated.segments]
    signals = [segments[0].signals(0), segments[0].signals(1), segments[1].signals(0)]
    for name, feature in (("state", "observation.state"), ("action", "action")):
        assert [row[feature] for row in rows] == [
            value for batch in signals for value in batch.column(name).to_pylist()
        ]
    said = [[event["content"] for event in row["language_events"]] for row in rows]  # type: ignore[attr-defined]
    assert said[:4] == [[], ["subtask: push on, step 1"], [], ["subtask: push on, step 3"]]
    assert not any(row["language_persistent"] for row in rows)


def test_the_metadata_tells_where_episodes_came_from(make_curated: MakeCurated) -> None:
    curated = make_curated()
    _export(curated, split="train")
    info = json.loads((curated.output / "meta/info.json").read_text())
    assert (info["robot_type"], info["fps"], info["total_episodes"]) == ("test_pose", 10, 2)
    assert set(info["features"]) >= {"observation.images.front", "observation.images.wrist", "action"}
    assert info["features"]["observation.state"]["names"] == [f"state_{index}" for index in range(7)]
    episodes = pq.read_table(curated.output / "meta/episodes").to_pylist()
    assert [row["source_episode"] for row in episodes] == ["one-4", "two-5"]
    assert [row["initial_condition"] for row in episodes] == ["push/1", "push/2"]
    assert not list(curated.output.glob("*.mp4"))


def test_our_own_reader_reads_it_back(make_curated: MakeCurated, tmp_path: Path) -> None:
    curated = make_curated()
    _export(curated)
    scan, again = tmp_path / "scan", tmp_path / "again"
    scan.mkdir()
    again.mkdir()
    scan_demonstrations(curated.output, None, scan)
    chosen = {row["episode"]: row["episode_index"] for row in pq.read_table(scan / "scan.parquet").to_pylist()}
    decode_episodes(DecodeConfig(), curated.output, None, chosen, again)
    read, original = Segment(again), Segment(curated.segments[0].segment)
    index = read.find(next(digest for digest, number in chosen.items() if number == 0))
    reasoning = read.signals(index).column("reasoning").to_pylist()
    step = "push on, step {}"
    kept = {frame: [{"style": "subtask", "content": step.format(frame)}] for frame in (1, 3, 5)}
    assert [pieces or None for pieces in reasoning] == [kept.get(frame) for frame in range(6)]
    assert read.signals(index).column("state").equals(original.signals(0).column("state"))
    camera = "observation.images.front"
    for seen, recorded in zip(read.frames(index, camera), original.frames(0, "front"), strict=True):
        assert np.abs(seen.astype(int) - recorded).mean() < 4


def test_the_same_input_gives_the_same_bytes(make_curated: MakeCurated, tmp_path: Path) -> None:
    curated = make_curated()
    _export(curated)
    again = tmp_path / "again"
    again.mkdir()
    export_lerobot(ExportConfig(), curated.collection, curated.segments, again)
    files = [path.relative_to(again) for path in again.rglob("*") if path.is_file()]
    assert len(files) > 8
    assert all((again / path).read_bytes() == (curated.output / path).read_bytes() for path in files)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"fps": 16.5}, "16.5 frames per second"),
        (
            {"camera_images": lambda length: {"front": [np.zeros((31, 32, 3), np.uint8)] * length}},
            "camera 'front' have an odd side",
        ),
    ],
)
def test_what_the_format_cannot_hold_is_refused(
    make_curated: MakeCurated, fields: dict[str, object], sentence: str
) -> None:
    with pytest.raises(DatasetError, match=sentence):
        _export(make_curated(**fields))


def test_what_differs_is_named(make_curated: MakeCurated) -> None:
    curated = make_curated()
    path = curated.collection / "collection.parquet"
    table = pq.read_table(path)
    rates = table.set_column(table.schema.get_field_index("fps"), table.schema.field("fps"), [[10.0, 10.0, 20.0]])
    pq.write_table(rates, path)
    with pytest.raises(DatasetError, match=re.escape("The episodes differ in fps, of which")):
        _export(curated)


def test_an_empty_split_is_refused(make_curated: MakeCurated) -> None:
    curated = make_curated()
    path = curated.collection / "collection.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    with pytest.raises(DatasetError, match="no episode to export"):
        _export(curated, split="train")
