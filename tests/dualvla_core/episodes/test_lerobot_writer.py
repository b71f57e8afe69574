from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.lerobot_writer import (
    EpisodeEntry,
    LanguageRow,
    LeRobotWriter,
    image_stats,
    language_columns,
    merge_stats,
    vector_stats,
)

CAMERA = "observation.images.top"


def entry(length: int, task: str, level: int = 0) -> EpisodeEntry:
    stats = image_stats([np.full((4, 6, 3), level, np.uint8)] * length)
    return EpisodeEntry(length, task, {"difficulty": level}, {CAMERA: stats})


def rows(*values: list[float]) -> pa.Table:
    vectors = pa.array(values, pa.list_(pa.float32(), 2))
    return pa.table({"observation.state": vectors, **language_columns([LanguageRow("plan", "go", 0)], len(values))})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"not looked at")
    root = tmp_path / "dataset"
    root.mkdir()
    writer = LeRobotWriter(root, 10, "testbot", {"observation.state": ("a", "b")}, {CAMERA: (4, 6)})
    writer.add(rows([0, 1], [2, 3], [4, 5]), {CAMERA: video}, [entry(2, "pick", 0), entry(1, "place", 255)])
    writer.add(rows([6, 7]), {CAMERA: video}, [entry(1, "pick", 51)])
    writer.close()
    return root


def test_rows_are_numbered_within_episode_file_and_dataset(root: Path) -> None:
    first = pq.read_table(root / "data/chunk-000/file-000.parquet")
    second = pq.read_table(root / "data/chunk-000/file-001.parquet")
    assert first["frame_index"].to_pylist() == [0, 1, 0]
    assert first["episode_index"].to_pylist() == [0, 0, 1]
    assert first["index"].to_pylist() == [0, 1, 2]
    assert first["task_index"].to_pylist() == [0, 0, 1]
    assert second["episode_index"].to_pylist() == [2]
    assert second["index"].to_pylist() == [3]
    assert second["task_index"].to_pylist() == [0]
    np.testing.assert_allclose(first["timestamp"].to_pylist(), [0, 0.1, 0], atol=1e-7)
    assert first["observation.state"].to_pylist() == [[0, 1], [2, 3], [4, 5]]
    assert pq.ParquetFile(root / "data/chunk-000/file-000.parquet").num_row_groups == 2


def test_episodes_tell_where_they_lie(root: Path) -> None:
    found = pq.read_table(root / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [row["tasks"] for row in found] == [["pick"], ["place"], ["pick"]]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in found] == [(0, 2), (2, 3), (3, 4)]
    assert [row["data/file_index"] for row in found] == [0, 0, 1]
    spans = [(row[f"videos/{CAMERA}/from_timestamp"], row[f"videos/{CAMERA}/to_timestamp"]) for row in found]
    np.testing.assert_allclose(spans, [(0, 0.2), (0.2, 0.3), (0, 0.1)])
    assert [row["difficulty"] for row in found] == [0, 255, 51]
    assert found[0]["stats/observation.state/max"] == [2, 3]
    assert found[1][f"stats/{CAMERA}/mean"] == [[[1.0]], [[1.0]], [[1.0]]]


def test_info_describes_the_features(root: Path) -> None:
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["codebase_version"], info["total_episodes"], info["total_frames"]) == ("v3.0", 3, 4)
    assert info["total_tasks"] == 2
    assert info["splits"] == {"train": "0:3"}
    assert info["features"][CAMERA]["shape"] == [4, 6, 3]
    assert info["features"]["observation.state"] == {"dtype": "float32", "shape": [2], "names": ["a", "b"]}
    assert info["features"]["language_persistent"] == {"dtype": "language", "shape": [1], "names": None}
    columns = pq.read_schema(root / "data/chunk-000/file-000.parquet").names
    assert set(columns) == set(info["features"]) - {CAMERA}


def test_tasks_are_indexed_by_their_text(root: Path) -> None:
    table = pq.read_table(root / "meta/tasks.parquet")
    assert table.to_pydict() == {"task_index": [0, 1], "task": ["pick", "place"]}
    assert json.loads(table.schema.metadata[b"pandas"])["index_columns"] == ["task"]


def test_statistics_of_the_dataset_are_those_of_all_frames(root: Path) -> None:
    stats = json.loads((root / "meta/stats.json").read_text())
    values = np.array([[0, 1], [2, 3], [4, 5], [6, 7]], float)
    assert stats["observation.state"]["mean"] == [3, 4]
    np.testing.assert_allclose(stats["observation.state"]["std"], values.std(0))
    np.testing.assert_allclose(stats["observation.state"]["q10"], np.quantile(values, 0.1, axis=0))
    assert stats["observation.state"]["count"] == [4]
    # levels 0, 0, 1 and 0.2 over the four images
    np.testing.assert_allclose(np.ravel(stats[CAMERA]["mean"]), [0.3] * 3)
    np.testing.assert_allclose(np.ravel(stats[CAMERA]["std"]), np.std([0, 0, 1, 0.2]))
    assert stats[CAMERA]["count"] == [4]


def test_language_is_repeated_on_every_frame(root: Path) -> None:
    table = pq.read_table(root / "data/chunk-000/file-000.parquet")
    plan = {"role": "assistant", "content": "go", "style": "plan", "timestamp": 0, "camera": None, "tool_calls": None}
    assert table["language_persistent"].to_pylist() == [[plan]] * 3
    assert table.schema.field("language_persistent").type.value_type.names == list(plan)


def test_image_statistics_of_known_pixels() -> None:
    image = np.zeros((1, 4, 3), np.uint8)
    image[0, :, 0] = [0, 51, 102, 255]  # 0, 0.2, 0.4 and 1
    stats = image_stats([image])
    assert stats["mean"].shape == (3, 1, 1)
    np.testing.assert_allclose(stats["mean"].ravel(), [0.4, 0, 0])
    np.testing.assert_allclose(stats["std"].ravel(), [float(np.std([0, 0.2, 0.4, 1])), 0, 0])
    np.testing.assert_allclose(stats["q50"].ravel(), [0.2, 0, 0])
    np.testing.assert_allclose(stats["max"].ravel(), [1, 0, 0])
    assert stats["count"] == [1]


def test_merged_statistics_are_those_of_the_whole() -> None:
    a, b = np.array([[1.0], [2.0], [6.0]]), np.array([[10.0]])
    merged, whole = merge_stats([vector_stats(a), vector_stats(b)]), vector_stats(np.concatenate([a, b]))
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(merged[name], whole[name])
    np.testing.assert_allclose(merged["q50"], [(3 * 2 + 10) / 4])


def test_rows_and_episodes_must_agree(tmp_path: Path) -> None:
    writer = LeRobotWriter(tmp_path, 10, "testbot", {"observation.state": ("a", "b")}, {})
    with pytest.raises(ValueError, match="3 rows were handed in"):
        writer.add(rows([0, 1], [2, 3], [4, 5]), {}, [EpisodeEntry(2, "pick")])
    with pytest.raises(ValueError, match="at least one episode"):
        writer.close()
