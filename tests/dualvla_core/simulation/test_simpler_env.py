"""SimplerEnv itself, on whatever renders here: one scene is made once, because making it takes longest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.simulation.config import RecordConfig
from dualvla_core.simulation.environment import THIRD_PERSON
from dualvla_core.simulation.recording import demonstrate, record_batch
from dualvla_core.simulation.simpler_env import ACTION_LIMIT, SimplerEnvironment, turn_across
from dualvla_core.simulation.widowx_expert import PHASES, WidowXExpert

TASK = "widowx_stack_cube"
CAPTURE = RecordConfig(tasks=(TASK,), image_size=64, max_steps=60, frames_after_success=2, questions_per_episode=3)


@pytest.fixture(scope="module")
def scene(simpler_env: None) -> Iterator[SimplerEnvironment]:
    environment = SimplerEnvironment(TASK, 64)
    yield environment
    environment.close()


def test_an_episode_is_the_same_whatever_was_played_before(scene: SimplerEnvironment) -> None:
    scene.reset(3)
    first = scene.observe()
    scene.reset(1000)
    for _ in range(6):  # leave the arm where things of the next episode are put
        scene.step(np.array([0.05, 0, -0.05, 0, 0, 0.3, -1], np.float32))
    assert np.abs(scene.state - first.state).max() > 0.05
    scene.reset(3)
    again = scene.observe()
    assert np.array_equal(again.state, first.state)
    for name, position in first.objects.items():
        assert np.array_equal(again.objects[name], position)
    assert np.array_equal(again.images[THIRD_PERSON], first.images[THIRD_PERSON])


def test_demonstrations_start_apart_from_every_episode_of_the_benchmark(scene: SimplerEnvironment) -> None:
    evaluated = scene._grid.numpy()[..., :2]
    for seed in range(24, 124):
        drawn = scene._drawn(seed).numpy()[..., :2]
        assert np.linalg.norm(evaluated - drawn, axis=2).max(axis=1).min() >= 0.01 - 1e-6
        assert np.linalg.norm(drawn[0, 0] - drawn[0, 1]) > 0.08  # a block is 3 cm wide, the gripper 8 cm
    assert np.array_equal(scene._drawn(50), scene._drawn(50))


def test_directions_are_the_robots_own(scene: SimplerEnvironment) -> None:
    scene.reset(0)
    before = scene.objects["gripper"]
    for _ in range(3):
        scene.step(np.array([0.02, 0.02, 0.02, 0, 0, 0, 1], np.float32))  # forward, left, up
    right, forward, up = scene.objects["gripper"] - before
    assert right < -0.02
    assert forward > 0.02
    assert up > 0.02
    state = scene.state
    assert state[:3] == pytest.approx([scene.objects["gripper"][1], -scene.objects["gripper"][0], state[2]], abs=1e-5)
    assert state[-1] == pytest.approx(1, abs=0.05)
    assert len(ACTION_LIMIT) == 7


def test_the_camera_sees_things_where_they_are(scene: SimplerEnvironment) -> None:
    scene.reset(0)
    seen = scene.observe()
    column, row, depth = scene.third_person.project(seen.objects["green block"])
    assert 0 < depth < 1
    red, green, blue = seen.images[THIRD_PERSON][int(row * 64), int(column * 64)].astype(int)
    assert green > red + 10  # the table is red
    assert green > blue


def test_the_expert_stacks_and_its_demonstration_has_true_phases(scene: SimplerEnvironment) -> None:
    expert = WidowXExpert(TASK, scene)
    found = demonstrate(scene, expert, TASK, 1000, CAPTURE)
    assert found.solved
    assert scene.solved
    assert list(dict.fromkeys(found.phases)) == list(PHASES)
    assert len(found.frames) == len(found.actions) == len(found.phases) <= 60
    grasp, release = found.phases.index("grasp"), found.phases.index("release")
    assert [action[-1] for action in found.actions[grasp:release]] == [-1] * (release - grasp)
    assert all(abs(action[:3]).max() <= 0.05 + 1e-6 for action in found.actions)


def test_a_recorded_batch_holds_state_action_and_reasoning(scene: SimplerEnvironment, tmp_path: Path) -> None:
    summary = record_batch(CAPTURE, TASK, [1003], tmp_path)
    assert summary["episodes"] == 1
    signals = pq.read_table(tmp_path / "signals.parquet")
    assert signals.schema.field("observation.state").type.list_size == 8
    assert signals.schema.field("action").type.list_size == 7
    assert (tmp_path / "third_person.mp4").exists()
    assert not (tmp_path / "wrist.mp4").exists()
    texts = str(signals.to_pylist())
    for words in ("green block", "yellow block", "Grasp", "Move"):
        assert words in texts
    timestamps = [row["timestamp"] for row in signals["language_persistent"][0].as_py()]
    assert max(timestamps) < summary["frames"] / 5


def test_the_benchmarks_own_episodes_are_not_recorded() -> None:
    with pytest.raises(ValueError, match="would record the 24 episodes"):
        RecordConfig(tasks=(TASK,), first_seed=10)


def test_the_hand_turns_across_the_target(scene: SimplerEnvironment) -> None:
    scene.reset(0)
    assert abs(scene.yaw) < 0.1
    assert -math.pi / 2 < scene.yaw <= math.pi / 2


@pytest.mark.parametrize(
    ("yaw", "turn"), [(0.1, 0.1), (-1.2, -1.2), (1.5694, 1.5694), (1.5722, 1.5722), (-1.5694, 1.5722), (-3.1, 0.0416)]
)
def test_what_lies_across_is_always_grasped_by_the_same_turn(yaw: float, turn: float) -> None:
    assert turn_across(yaw) == pytest.approx(turn, abs=1e-4)
