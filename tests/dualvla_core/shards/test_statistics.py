from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.shards import StatisticsConfig, compute_statistics
from dualvla_core.shards.sketch import QUANTILE_ERROR

# Output of stage version 2; when it changes, raise the stage's version in tasks/ and record it anew.
GOLDEN: dict[str, Any] = {
    "version": 2,
    "q01": [
        -0.99820307,
        -0.99618646,
        -0.99917963,
        -0.99889154,
        -0.9954101,
        -0.99849115,
        -0.99618646,
    ],
    "std": [0.68764607, 0.6908909, 0.69542547, 0.70020989, 0.70422786, 0.70674367, 0.70746668],
}


def _names(segment: Path) -> list[str]:
    names: list[str] = pq.read_table(segment / "episodes.parquet")["episode"].to_pylist()
    return names


def _compute(segments: list[Path], episodes: list[str], output: Path, **params: Any) -> dict[str, Any]:
    compute_statistics(StatisticsConfig(**params), segments, episodes, output)
    found: dict[str, Any] = json.loads((output / "statistics.json").read_text())
    return found


def _episode(actions: list[list[float]], name: str = "") -> dict[str, Any]:
    length = len(actions)
    return {
        "trajectory": np.zeros((length, 6)),
        "gripper": np.ones((length, 1)),
        "actions": np.array(actions),
        "name": name,
    }


def test_statistics_by_hand(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([_episode([[0, 5], [2, 5]]), _episode([[4, 5]])])
    found = _compute([segment], _names(segment), tmp_path)["test_pose"]
    assert (found["num_transitions"], found["num_trajectories"]) == (3, 2)
    action = found["action"]
    assert action["mean"] == [2, 5]
    assert action["std"] == pytest.approx([np.sqrt(8 / 3), 0])
    assert (action["min"], action["max"]) == ([0, 5], [4, 5])
    assert action["q01"] == pytest.approx([0.04, 5], abs=2 * QUANTILE_ERROR)  # 1 % of the way over two gaps of 2
    assert action["q99"] == pytest.approx([3.96, 5], rel=QUANTILE_ERROR)
    assert action["mask"] == [True, False]  # the gripper's command comes last
    assert found["state"]["mask"] == [True] * 6 + [False]
    assert found["state"]["mean"] == [0] * 6 + [1]


def test_grippers_can_be_normalised_too(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([_episode([[0, 5], [2, 5]])])
    found = _compute([segment], _names(segment), tmp_path, normalise_grippers=True)["test_pose"]
    assert found["action"]["mask"] == [True, True]
    assert found["state"]["mask"] == [True] * 7


def test_only_the_chosen_episodes_count(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    first = make_segment([_episode([[1, 0]], "a"), _episode([[100, 0]], "b")], name="first")
    second = make_segment([_episode([[3, 0]], "c")], name="second")
    found = _compute([first, second], ["a", "c"], tmp_path)["test_pose"]
    assert found["action"]["mean"] == [2, 0]
    assert found["num_trajectories"] == 2


def test_each_embodiment_has_its_own(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    poses = make_segment([_episode([[1, 0]], "a")], name="poses")
    joints = make_segment([{"trajectory": np.zeros((2, 4)), "name": "b"}], space="joints", name="joints")
    assert set(_compute([poses, joints], ["a", "b"], tmp_path)) == {"test_pose", "test_joints"}
    assert set(_compute([poses, joints], ["b"], tmp_path)) == {"test_joints"}


def test_episodes_without_actions_still_have_states(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([_episode([[1, 0], [2, 0]])])
    batch = pa.ipc.open_file(str(segment / "frames.arrow")).get_batch(0)
    column = batch.schema.get_field_index("action")
    field = batch.schema.field("action")
    without = batch.set_column(column, field, pa.nulls(batch.num_rows, field.type))
    with pa.ipc.new_file(str(segment / "frames.arrow"), batch.schema) as writer:
        writer.write_batch(without)
    found = _compute([segment], _names(segment), tmp_path)["test_pose"]
    assert "action" not in found
    assert found["num_transitions"] == 2


def test_a_missing_episode_is_an_error(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([_episode([[1, 0]], "a")])
    with pytest.raises(
        ArtifactError, match=r"2 of 3 training episodes are in none of the 1 segments \(the first is x\)"
    ):
        _compute([segment], ["a", "y", "x"], tmp_path)


def test_actions_of_different_width_are_refused(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([_episode([[1, 0]], "a"), _episode([[1, 0, 0]], "b")])
    with pytest.raises(ArtifactError, match=r"Actions of test_pose have 2 dimensions in one episode and 3 in another"):
        _compute([segment], ["a", "b"], tmp_path)


def test_ragged_actions_are_refused(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    segment = make_segment([_episode([[1, 0], [1, 0]])])
    batch = pa.ipc.open_file(str(segment / "frames.arrow")).get_batch(0)
    field = batch.schema.field("action")
    ragged = pa.array([[1.0], [1.0, 2.0, 3.0]], field.type)
    with pa.ipc.new_file(str(segment / "frames.arrow"), batch.schema) as writer:
        writer.write_batch(batch.set_column(batch.schema.get_field_index("action"), field, ragged))
    with pytest.raises(ArtifactError, match="does not hold the same number of values on every frame"):
        _compute([segment], _names(segment), tmp_path)


def test_a_folder_without_segment_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"frames.arrow"):
        _compute([tmp_path], [], tmp_path)


class CountingFile(io.FileIO):
    """A file that remembers how many bytes were read."""

    read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(-1 if size is None else size)
        type(self).read_bytes += len(content)
        return content


def test_images_are_never_read(
    make_segment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 96, 3)).astype(np.uint8) for _ in range(40)]
    segment = make_segment([{**_episode([[1, 0]] * 40), "camera_images": {"front": noise}}])
    size = (segment / "frames.arrow").stat().st_size
    CountingFile.read_bytes = 0
    monkeypatch.setattr(pa, "memory_map", lambda path: pa.PythonFile(CountingFile(path), mode="r"))
    _compute([segment], _names(segment), tmp_path)
    assert 0 < CountingFile.read_bytes < size / 10


def test_the_output_is_that_of_this_version(make_segment: Callable[..., Path], tmp_path: Path) -> None:
    actions = np.sin(np.arange(60)[:, None] * np.arange(1, 8) / 9)
    segment = make_segment([{"trajectory": np.zeros((60, 6)), "gripper": np.ones((60, 1)), "actions": actions}])
    found = _compute([segment], _names(segment), tmp_path)
    assert list(found["test_pose"]) == ["action", "num_trajectories", "num_transitions", "state"]
    assert list(found["test_pose"]["action"]) == ["mask", "max", "mean", "min", "q01", "q99", "std"]
    assert found["test_pose"]["action"]["q01"] == pytest.approx(GOLDEN["q01"], rel=1e-6)
    assert found["test_pose"]["action"]["std"] == pytest.approx(GOLDEN["std"], rel=1e-6)
