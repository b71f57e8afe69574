from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.splits import splits_of
from dualvla_core.errors import DatasetError
from dualvla_core.params import Summary
from dualvla_core.simulation.assembly import assemble_dataset
from dualvla_core.simulation.config import RecordConfig

SEEDS = (1003, 1008)  # the solved attempts of the two batches


@pytest.fixture(scope="module")
def dataset(
    tiny: RecordConfig,
    mixed_batch: tuple[Path, Summary],
    second_batch: tuple[Path, Summary],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    output = tmp_path_factory.mktemp("dataset")
    assemble_dataset(tiny, 0.2, [mixed_batch[0], second_batch[0]], output)
    return output


def rows_of(dataset: Path) -> list[dict[str, Any]]:
    path = dataset / "demonstrations/meta/episodes/chunk-000/file-000.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_totals_agree_with_the_files(dataset: Path) -> None:
    info = json.loads((dataset / "demonstrations/meta/info.json").read_text())
    rows = rows_of(dataset)
    assert info["total_episodes"] == len(rows) == 2
    assert info["total_frames"] == sum(row["length"] for row in rows)
    assert info["robot_type"] == "metaworld_sawyer"
    assert info["fps"] == 80
    assert [row["initial_condition"] for row in rows] == [f"reach/{seed}" for seed in SEEDS]
    assert {row["task_name"] for row in rows} == {"reach"}
    assert all(row["success"] for row in rows)


def test_video_frames_align_with_rows(dataset: Path) -> None:
    root = dataset / "demonstrations"
    info = json.loads((root / "meta/info.json").read_text())
    for row in rows_of(dataset):
        place = {key: row[f"data/{key}"] for key in ("chunk_index", "file_index")}
        table = pq.read_table(root / info["data_path"].format(**place))
        times = np.array(table["timestamp"].to_pylist())
        np.testing.assert_array_equal(table["index"], np.arange(row["dataset_from_index"], row["dataset_to_index"]))
        for camera in ("observation.images.third_person", "observation.images.wrist"):
            path = root / info["video_path"].format(video_key=camera, **place)
            with av.open(str(path)) as container:
                shown = [frame.time for frame in container.decode(video=0)]
            start = row[f"videos/{camera}/from_timestamp"]
            np.testing.assert_allclose(np.array(shown, float), start + times, atol=1e-4)


def test_reasoning_is_in_force_on_every_frame(dataset: Path) -> None:
    table = pq.read_table(dataset / "demonstrations/data/chunk-000/file-000.parquet")
    language = table["language_persistent"].to_pylist()
    assert all(rows == language[0] for rows in language)
    assert {row["style"] for row in language[0] if row["timestamp"] == 0} == {"plan", "subtask", "motion"}
    assert all(row["role"] == "assistant" and row["camera"] is None for row in language[0])
    assert table["language_events"].to_pylist() == [[]] * table.num_rows
    phases = pq.read_table(dataset / "demonstrations/labels/phases.parquet").to_pylist()
    changes = [row["frame_index"] / 80 for row in phases if row["episode_index"] == 0]
    subtasks = [row["timestamp"] for row in language[0] if row["style"] == "subtask"]
    np.testing.assert_allclose(subtasks, [0, *changes], atol=1e-6)


def test_phases_carry_the_numbers_of_the_dataset(dataset: Path) -> None:
    phases = pq.read_table(dataset / "demonstrations/labels/phases.parquet").to_pylist()
    assert [(row["episode_index"], row["phase"]) for row in phases] == [
        (0, "align"),
        (0, "hold"),
        (1, "align"),
        (1, "hold"),
    ]


def test_failed_attempts_stay_on_record(dataset: Path) -> None:
    attempts = pq.read_table(dataset / "demonstrations/labels/attempts.parquet").to_pylist()
    assert [(row["seed"], row["success"]) for row in attempts] == [(1003, True), (1000, False), (1008, True)]


def test_appending_leaves_earlier_files_as_they_were(
    dataset: Path, tiny: RecordConfig, mixed_batch: tuple[Path, Summary], tmp_path: Path
) -> None:
    assemble_dataset(tiny, 0.2, [mixed_batch[0]], tmp_path)
    grown = files_under(dataset)
    for name, content in files_under(tmp_path).items():
        if "/meta/" not in name and "/labels/" not in name and not name.endswith("conversations.json"):
            assert grown[name] == content, name
    short, long = (
        [{**entry, "split": "any"} for entry in json.loads((root / "multimodal/conversations.json").read_text())]
        for root in (tmp_path, dataset)  # a single condition is for training, of two one is held out
    )
    assert long[: len(short)] == short
    assert len(long) == 10
    assert rows_of(dataset)[: len(rows_of(tmp_path))] == rows_of(tmp_path)


def test_assembling_again_gives_the_same_bytes(
    dataset: Path,
    tiny: RecordConfig,
    mixed_batch: tuple[Path, Summary],
    second_batch: tuple[Path, Summary],
    tmp_path: Path,
) -> None:
    summary = assemble_dataset(tiny, 0.2, [mixed_batch[0], second_batch[0]], tmp_path)
    assert files_under(tmp_path) == files_under(dataset)
    assert summary["batches"] == summary["episodes"] == 2
    assert summary["attempts"] == 3
    assert summary["questions"] == 10


def test_conversations_are_split_by_initial_condition(dataset: Path) -> None:
    conversations = json.loads((dataset / "multimodal/conversations.json").read_text())
    assert len({entry["id"] for entry in conversations}) == len(conversations)
    seeds = {int(entry["id"].split("-")[1]) for entry in conversations}
    splits = splits_of([f"reach/{seed}" for seed in seeds], 0.2)
    for entry in conversations:
        seed = int(entry["id"].split("-")[1])
        assert entry["split"] == splits[f"reach/{seed}"]
        assert (dataset / "multimodal" / entry["image"]).read_bytes().startswith(b"\xff\xd8")
        human, gpt = entry["conversations"]
        assert (human["from"], gpt["from"]) == ("human", "gpt")
        assert human["value"].startswith("<image>\n")


def test_an_initial_condition_may_occur_once(
    tiny: RecordConfig, mixed_batch: tuple[Path, Summary], tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match="reach/1003 occurs in several batches"):
        assemble_dataset(tiny, 0.2, [mixed_batch[0], mixed_batch[0]], tmp_path)


def test_batches_of_other_image_sizes_are_refused(
    tiny: RecordConfig, mixed_batch: tuple[Path, Summary], tmp_path: Path
) -> None:
    larger = tiny.model_copy(update={"wrist_image_size": 96})
    with pytest.raises(DatasetError, match="wrist images of 48 px, expected 96 px"):
        assemble_dataset(larger, 0.2, [mixed_batch[0]], tmp_path)


def test_a_dataset_needs_a_solved_demonstration(tiny: RecordConfig, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="None of the recorded demonstrations was solved"):
        assemble_dataset(tiny, 0.2, [], tmp_path)
