from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import OpenLoopConfig
from dualvla_core.evaluation.open_loop import evaluate_open_loop
from dualvla_core.evaluation.policy import Decision, PolicyError, PolicyObservation
from dualvla_core.schemas import robot_shard_schema

SCALES = {"q01": [-1.0, -2.0, 0.0, 0, 0, 0, 0], "q99": [1.0, 2.0, 0.0, 1, 1, 1, 1], "mask": [True] * 6 + [False]}


class Constant:
    """Always the same action."""

    def __init__(self, *action: float, rows: int = 4) -> None:
        self.actions = np.tile(np.array(action, np.float32), (rows, 1))
        self.seeds: list[int] = []
        self.states: list[list[float]] = []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        assert instruction == "push the block"
        assert list(observation["images"]) == ["front"]
        assert observation["state"] is not None
        self.states.append(observation["state"].tolist())
        return Decision(self.actions)


@pytest.fixture
def make_shard(make_segment: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """A segment of one-armed episodes with the given actions ``[T, 7]`` as a robot shard."""

    def make(actions: Sequence[np.ndarray]) -> Path:
        episodes = [
            {
                "trajectory": np.arange(len(each))[:, None] * np.ones(6),
                "gripper": np.ones((len(each), 1)),
                "actions": each,
                "name": name,
            }
            for name, each in zip("abc", actions, strict=False)
        ]
        folder = make_segment(episodes)
        with pa.ipc.open_file(str(folder / "frames.arrow")) as frames:
            schema = robot_shard_schema(["front"]).with_metadata(frames.schema.metadata)
            with pa.ipc.new_file(str(folder / "shard.arrow"), schema) as writer:
                for index in range(frames.num_record_batches):
                    batch = frames.get_batch(index)
                    batch = batch.append_column("keep", pa.array([True] * len(batch)))
                    writer.write_batch(batch.select(schema.names).cast(schema))
        return folder

    return make


@pytest.fixture
def statistics(tmp_path: Path) -> Path:
    (tmp_path / "statistics.json").write_text(json.dumps({"test_pose": {"action": SCALES, "num_transitions": 1}}))
    return tmp_path


def evaluate(
    shards: list[Path], episodes: set[str], statistics: Path, policy: Any, **params: int
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    output = statistics / "output"
    output.mkdir()
    summary = evaluate_open_loop(OpenLoopConfig(**params), shards, episodes, statistics, policy, output)
    return dict(summary), pq.read_table(output / "open_loop.parquet").to_pylist()


def test_errors_by_hand(make_shard: Callable[..., Path], statistics: Path) -> None:
    actions = np.zeros((5, 7))
    actions[:, 0] = [0.0, 0.1, 0.2, 0.3, 0.4]
    actions[:, 6] = 1
    policy = Constant(0, 0.5, 0, 0, 0, 0, 0)
    summary, rows = evaluate([make_shard([actions])], {"a"}, statistics, policy, chunk=2, stride=2)
    # frames 0, 2, 4 ask for actions (0, 1), (2, 3) and (4, end): five actions, the padding is not counted
    assert [row["actions"] for row in rows] == [5] * 7
    assert (summary["episodes"], summary["decisions"]) == (1, 3)
    assert rows[0]["error"] == pytest.approx((0 + 0.1 + 0.2 + 0.3 + 0.4) / 5)
    assert rows[1]["error"] == pytest.approx(0.5)
    assert rows[6]["error"] == pytest.approx(1.0)
    assert rows[0]["normalised_error"] == pytest.approx(0.2)  # half of [-1, 1] is 1
    assert rows[1]["normalised_error"] == pytest.approx(0.25)  # half of [-2, 2] is 2
    assert rows[6]["normalised_error"] == pytest.approx(1.0)  # the gripper is not normalised
    assert summary["error"] == pytest.approx((0.2 + 0.5 + 1) / 7)
    assert summary["normalised_error.1"] == pytest.approx(0.25)
    assert [state[0] for state in policy.states] == [0, 2, 4]


def test_episodes_count_by_their_actions(make_shard: Callable[..., Path], statistics: Path) -> None:
    short, long = np.zeros((1, 7)), np.zeros((3, 7))
    long[:, 0] = 0.4
    shard = make_shard([short, np.ones((2, 7)), long])
    policy = Constant(*[0] * 7)
    summary, rows = evaluate([shard], {"a", "c"}, statistics, policy, chunk=1, stride=1)
    assert {row["episode"] for row in rows} == {"a", "c"}
    assert summary["error.0"] == pytest.approx(3 * 0.4 / 4)
    assert len(set(policy.seeds)) == 2


def test_missing_episodes_are_refused(make_shard: Callable[..., Path], statistics: Path) -> None:
    shard = make_shard([np.zeros((2, 7))])
    with pytest.raises(ArtifactError, match="1 of the 2 episodes"):
        evaluate_open_loop(OpenLoopConfig(), [shard], {"a", "lost"}, statistics, Constant(*[0] * 7), statistics)
    with pytest.raises(ArtifactError, match="0 of the 0 episodes"):
        evaluate_open_loop(OpenLoopConfig(), [shard], set(), statistics, Constant(*[0] * 7), statistics)


def test_statistics_of_another_robot_are_refused(make_shard: Callable[..., Path], statistics: Path) -> None:
    shard = make_shard([np.zeros((2, 7))])
    (statistics / "statistics.json").write_text("{}")
    with pytest.raises(ArtifactError, match="no action statistics of 'test_pose'"):
        evaluate_open_loop(OpenLoopConfig(), [shard], {"a"}, statistics, Constant(*[0] * 7), statistics)
    (statistics / "statistics.json").write_text("torn")
    with pytest.raises(ArtifactError, match="cannot be read"):
        evaluate_open_loop(OpenLoopConfig(), [shard], {"a"}, statistics, Constant(*[0] * 7), statistics)


def test_policies_of_another_robot_are_refused(make_shard: Callable[..., Path], statistics: Path) -> None:
    shard = make_shard([np.zeros((2, 7))])
    with pytest.raises(ArtifactError, match="have 4 dimensions, episode a has 7"):
        evaluate_open_loop(OpenLoopConfig(chunk=2), [shard], {"a"}, statistics, Constant(*[0] * 4), statistics)
    with pytest.raises(PolicyError, match="expected 6 rows or more"):
        evaluate_open_loop(OpenLoopConfig(chunk=6), [shard], {"a"}, statistics, Constant(*[0] * 7), statistics)
