from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.file_digests import FileDigests
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.params import Summary
from dualvla_core.schemas import SCAN, SKIPPED, check_schema

Make = Callable[..., Any]
CAMERA = "observation.images.front"
VIDEO = f"videos/chunk-000/{CAMERA}/episode_00000%d.mp4"
ROWS = "data/chunk-000/episode_00000%d.parquet"


@pytest.fixture
def scan(tmp_path: Path) -> Callable[..., tuple[Path, Summary]]:
    def run(dataset: Path, name: str = "scan", **options: Any) -> tuple[Path, Summary]:
        output = tmp_path / name
        output.mkdir()
        return output, scan_demonstrations(dataset, None, output, **options)

    return run


def found(output: Path) -> list[dict[str, Any]]:
    table = pq.read_table(output / "scan.parquet")
    check_schema(table.schema, SCAN, "scan.parquet")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def skipped(output: Path) -> list[dict[str, Any]]:
    table = pq.read_table(output / "skipped.parquet")
    check_schema(table.schema, SKIPPED, "skipped.parquet")
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def contents(output: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(output.iterdir())}


def test_what_a_scan_tells(write_dataset: Make, demo: Make, scan: Make, tmp_path: Path) -> None:
    extra = {"task_name": "push", "initial_condition": "push/3"}
    output, summary = scan(write_dataset([demo(length=4), demo(length=6, seed=1, task=1, metadata=extra)]))
    first, second = found(output)
    assert (first["episode_index"], first["length"], first["fps"], first["cameras"]) == (0, 4, 10, [CAMERA])
    assert first["initial_condition"] == first["episode"]
    assert (second["task"], second["instruction"], second["initial_condition"]) == ("push", "open the drawer", "push/3")
    sizes = [(tmp_path / "set" / name).stat().st_size for name in (VIDEO % 1, ROWS % 1)]
    assert second["source_bytes"] == sum(sizes)
    described = json.loads((output / "dataset.json").read_text())
    assert described["totals"] == {
        "episodes": 2,
        "frames": 10,
        "skipped": 0,
        "source_bytes": first["source_bytes"] + second["source_bytes"],
    }
    assert described["tasks"] == {"0": "push the block", "1": "open the drawer"}
    assert (described["layout"], described["robot_type"]) == ("LeRobot v2.1", "metaworld_sawyer")
    assert described["embodiment"]["name"] == summary["embodiment"] == "metaworld_sawyer"
    assert str(tmp_path) not in (output / "dataset.json").read_text()


def break_rows(root: Path) -> None:
    (root / (ROWS % 1)).write_bytes(b"PAR1 and no more")


def remove_rows(root: Path) -> None:
    (root / (ROWS % 1)).unlink()


def remove_video(root: Path) -> None:
    (root / (VIDEO % 1)).unlink()


def cut_video(root: Path) -> None:
    video = root / (VIDEO % 1)
    video.write_bytes(video.read_bytes()[:-300])


def empty_rows(root: Path) -> None:
    file = root / (ROWS % 1)
    pq.write_table(pq.read_table(file).slice(0, 0), file)


def lose_a_row(root: Path) -> None:
    file = root / (ROWS % 1)
    pq.write_table(pq.read_table(file).slice(0, 5), file)


def repeat_a_row(root: Path) -> None:
    file = root / (ROWS % 1)
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table.slice(0, 5), table.slice(0, 1)]), file)


def repeat_an_episode(root: Path) -> None:
    for name in (ROWS, VIDEO):
        shutil.copy(root / (name % 0), root / (name % 1))
    file = root / (ROWS % 1)
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.schema.names.index("episode_index"), "episode_index", [[1] * 6]), file)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (break_rows, f"The data file {ROWS % 1} is not readable as Parquet; fetch it again."),
        (remove_rows, f"The file {ROWS % 1} is missing."),
        (remove_video, f"The file {VIDEO % 1} is missing."),
        (cut_video, f"The video {VIDEO % 1} is broken or cut short (EOFError); fetch it again."),
        (empty_rows, "The episode has no frames."),
        (lose_a_row, "The metadata says 6 frames, the data file holds 5."),
        (repeat_a_row, "frame_index does not count 0 to 5; rows are missing or double."),
        (repeat_an_episode, "It is the same demonstration as episode 0."),
    ],
)
def test_one_broken_episode_is_skipped_with_its_reason(
    spoil: Callable[[Path], None], reason: str, write_dataset: Make, scan: Make
) -> None:
    folder = write_dataset(3)
    (folder / "meta" / "tasks.jsonl").write_text('{"task_index": 0, "task": "a"}\n{"task_index": 1, "task": "a"}\n')
    spoil(folder)
    output, summary = scan(folder)
    assert [row["episode_index"] for row in found(output)] == [0, 2]
    (row,) = skipped(output)
    assert (row["episode_index"], row["reason"]) == (1, reason)
    assert (row["episode"] is not None) == (spoil is repeat_an_episode)
    assert (summary["episodes"], summary["skipped"]) == (2, 1)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("column", ["action", "observation.state"])
def test_values_that_are_not_finite(column: str, value: float, write_dataset: Make, demo: Make, scan: Make) -> None:
    values = np.zeros((6, 7), np.float32)
    values[4, 2] = value
    output, _ = scan(write_dataset([demo(), demo(columns={column: pa.array(list(values))})]))
    assert skipped(output)[0]["reason"] == f"The column {column!r} holds NaN or infinity in 1 rows, first in row 4."


def test_a_video_shorter_than_the_rows(write_dataset: Make, demo: Make, scan: Make) -> None:
    output, _ = scan(write_dataset([demo(), demo(video_frames=5)]))
    assert skipped(output)[0]["reason"] == f"Camera {CAMERA!r}: the video has 5 frames for 6 rows."


def test_a_broken_shared_file_costs_its_episodes_only(write_dataset: Make, merge: Make, scan: Make) -> None:
    folder = merge(write_dataset(2), [0, 1])
    video = folder / "videos" / CAMERA / "chunk-000" / "file-000.mp4"
    video.write_bytes(video.read_bytes()[:-300])
    output, summary = scan(folder)
    assert found(output) == []
    assert [row["episode_index"] for row in skipped(output)] == [0, 1]
    assert summary["frames"] == 0


@pytest.fixture
def identified(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one whenever an episode is identified from its packets."""
    calls: list[int] = []

    def counted(*arguments: Any) -> str:
        calls.append(1)
        return episode_digest(*arguments)

    monkeypatch.setattr("dualvla_core.episodes.scan.episode_digest", counted)
    return calls


def test_a_second_scan_reads_only_what_is_new(
    write_dataset: Make, demo: Make, scan: Make, identified: list[int], tmp_path: Path
) -> None:
    memo = FileDigests()
    first, _ = scan(write_dataset(3), memo=memo)
    assert len(identified) == 3
    second, _ = scan(tmp_path / "set", "second", memo=memo, previous=first)
    assert len(identified) == 3
    assert contents(second) == contents(first)
    larger = write_dataset(4, name="larger", tasks=("push the block", "open the drawer", "wait"))
    third, _ = scan(larger, "third", previous=first)
    assert len(identified) == 4
    assert found(third)[:3] == found(first)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "meta/tasks.jsonl").write_text('{"task_index": 0, "task": "other"}\n'),
        lambda root: (root / "meta/info.json").write_text(
            (root / "meta/info.json").read_text().replace("metaworld_sawyer", "nobody")
        ),
        lambda root: (root / "meta/info.json").write_text(
            (root / "meta/info.json").read_text().replace('"fps": 10', '"fps": 10.00001')
        ),
    ],
)
def test_a_dataset_that_reads_otherwise_is_scanned_anew(
    change: Callable[[Path], object], write_dataset: Make, scan: Make, identified: list[int]
) -> None:
    folder = write_dataset(1)
    first, _ = scan(folder)
    change(folder)
    scan(folder, "second", previous=first)
    assert len(identified) == 2


def test_a_changed_episode_is_identified_anew(write_dataset: Make, demo: Make, scan: Make) -> None:
    folder = write_dataset([demo(), demo(seed=1)])
    first, _ = scan(folder)
    changed = pq.read_table(folder / (ROWS % 1))
    pq.write_table(changed.drop_columns(["action"]), folder / (ROWS % 1))
    second, _ = scan(folder, "second", previous=first)
    assert found(second)[0] == found(first)[0]
    assert found(second)[1]["episode"] != found(first)[1]["episode"]


def test_progress_ends_at_the_number_of_episodes(write_dataset: Make, scan: Make) -> None:
    told: list[tuple[int, int]] = []
    scan(write_dataset(2), progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
