# mypy: disable-error-code="import-untyped, no-any-return"
from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import cv2
import numpy as np
import pyarrow as pa
import pytest
from vla_eval.protocol.numpy_codec import get_image_format

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.simulation.environment import Image
from dualvla_core.simulation.narration import instruction_of
from infra.harness.benchmark import spread
from tests.infra.harness.fakes import FakeBenchmark, FakeEnvironment


class Recorder:
    """Keeps what vla-eval's recorder would write."""

    eid, is_active = "episode", True

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def record_step(self, **fields: Any) -> None:
        self.rows.append(fields)


@pytest.fixture
def benchmark(config: RolloutConfig, tmp_path: Path) -> FakeBenchmark:
    return FakeBenchmark(config.model_dump(mode="json"), str(tmp_path / "frames"))


def start(benchmark: FakeBenchmark, task: str = "reach", episode: int = 0) -> Recorder:
    recorder = Recorder()
    anyio.run(benchmark.start_episode, {"name": task, "episode_idx": episode}, recorder)
    return recorder


def decide(benchmark: FakeBenchmark, actions: np.ndarray, reasoning: str | None = None) -> bool:
    decision = {"actions": actions, "reasoning": reasoning, "latency_s": 0.25}
    anyio.run(benchmark.apply_action, decision)
    return anyio.run(benchmark.is_done)


def test_images_travel_uncompressed() -> None:
    assert get_image_format() == "raw"


def test_tasks_are_those_of_the_configuration(benchmark: FakeBenchmark) -> None:
    assert [task["name"] for task in benchmark.get_tasks()] == ["reach", "door-open"]


def test_a_policy_sees_images_state_and_instruction(benchmark: FakeBenchmark) -> None:
    start(benchmark, "door-open", 1)
    observation = anyio.run(benchmark.get_observation)
    assert set(observation) == {"images", "state", "task_description", "seed"}
    assert set(observation["images"]) == {"third_person", "wrist"}
    assert observation["seed"] == 7
    assert observation["state"].tolist() == pytest.approx([7, 0, 0.1])
    assert observation["task_description"] == instruction_of("door-open", 7)


def test_every_control_step_is_recorded(benchmark: FakeBenchmark) -> None:
    recorder = start(benchmark)
    anyio.run(benchmark.get_observation)
    actions = np.array([[0.1, 0, 0, 0], [0.2, 0, 0, 0], [0.3, 0, 0, 5]], np.float32)
    assert not decide(benchmark, actions, "Move right.")
    assert [row["state"][1] for row in recorder.rows] == [0, 1, 2]
    assert [row["replanned"] for row in recorder.rows] == [True, False, False]
    assert [row["reasoning"] for row in recorder.rows] == ["Move right.", None, None]
    assert [row["latency_s"] for row in recorder.rows] == [0.25, None, None]
    assert recorder.rows[2]["action"] == pytest.approx([0.3, 0, 0, 1])  # as carried out


def test_an_episode_ends_at_success_within_a_chunk(benchmark: FakeBenchmark, tmp_path: Path) -> None:
    recorder = start(benchmark)
    anyio.run(benchmark.get_observation)
    assert not decide(benchmark, np.zeros((7, 4), np.float32))
    anyio.run(benchmark.get_observation)
    assert decide(benchmark, np.zeros((7, 4), np.float32))
    result = anyio.run(benchmark.get_result)
    assert result == {"success": True, "steps": 9, "instruction": instruction_of("reach", 6)}
    assert len(recorder.rows) == 10
    assert recorder.rows[-1] == {
        "state": pytest.approx([6, 9, 0.1]),
        "objects": [{"name": "gripper", "position": [0.0, 9.0, 0.0]}],
        "solved": True,
    }
    with pa.ipc.open_file(str(tmp_path / "frames" / "episode.arrow")) as file:
        kept = file.read_all().to_pylist()
    assert [row["step"] for row in kept] == [0, 7, 9]
    pixels = cv2.imdecode(np.frombuffer(kept[1]["image"], np.uint8), cv2.IMREAD_COLOR)
    assert pixels is not None
    assert pixels.mean() == pytest.approx(7, abs=1)


def test_an_episode_ends_at_the_last_step_allowed(benchmark: FakeBenchmark) -> None:
    start(benchmark, episode=1)
    anyio.run(benchmark.get_observation)
    assert decide(benchmark, np.zeros((50, 4), np.float32))
    result = anyio.run(benchmark.get_result)
    assert (result["success"], result["steps"]) == (False, 20)


@pytest.mark.parametrize(
    ("mode", "success", "steps"), [("early_stop", True, 9), ("latched", True, 20), ("final", False, 20)]
)
def test_the_mode_decides_what_counts_and_when_an_episode_ends(
    mode: str, success: bool, steps: int, config: RolloutConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = config.model_dump(mode="json") | {"success_mode": mode}
    benchmark = FakeBenchmark(fields, str(tmp_path / "frames"))
    monkeypatch.setattr(FakeEnvironment, "solved", property(lambda self: self.success and self.state[1] < 15))
    start(benchmark)
    for _ in range(5):
        anyio.run(benchmark.get_observation)
        if decide(benchmark, np.zeros((4, 4), np.float32)):
            break
    result = anyio.run(benchmark.get_result)
    assert (result["success"], result["steps"]) == (success, steps)


def test_environments_are_closed_before_the_next_task_and_kept_within_one(benchmark: FakeBenchmark) -> None:
    start(benchmark)
    first = benchmark._playing
    start(benchmark, episode=1)
    assert benchmark._playing is first
    start(benchmark, "door-open")
    assert benchmark._playing is not first
    assert first.state[1] == -1  # closed
    benchmark.cleanup()
    benchmark.cleanup()


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [(1, 3, [0]), (3, 3, [0, 1, 2]), (5, 3, [0, 2, 4]), (34, 12, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33])],
)
def test_moments_are_spread_from_the_first_to_the_last(count: int, most: int, expected: list[int]) -> None:
    blank: Image = np.zeros((1, 1, 3), np.uint8)
    assert [step for step, _ in spread([(step, blank) for step in range(count)], most)] == expected
