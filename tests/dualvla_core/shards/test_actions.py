from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.episodes.embodiment import Embodiment, load_embodiments
from dualvla_core.shards.actions import action_chunk, gripper_actions, gripper_states


def _indices(mask: np.ndarray) -> list[int]:
    found: list[int] = np.flatnonzero(mask).tolist()
    return found


@pytest.mark.parametrize(
    ("name", "width", "actions", "states"),
    [
        ("widowx_bridge", 7, [6], [7]),  # displacements, then the gripper
        ("metaworld_sawyer", 4, [3], [6]),
        ("google_robot", 7, [6], [7]),
        ("aloha", 14, [6, 13], [6, 13]),  # targets of the state
        ("franka_droid", 7, [], [7]),  # not as wide as the state
        ("unitree_g1", 26, [], []),  # hands, no grippers
    ],
)
def test_which_dimensions_are_grippers(name: str, width: int, actions: list[int], states: list[int]) -> None:
    embodiment = load_embodiments()[name]
    assert embodiment.state_size is not None
    assert _indices(gripper_actions(embodiment, width)) == actions
    assert _indices(gripper_states(embodiment, embodiment.state_size)) == states


def test_each_arm_of_displacements_ends_with_its_gripper() -> None:
    one = load_embodiments()["widowx_bridge"]
    arm = one.arms[0]
    two = Embodiment(**one.model_dump() | {"arms": [arm, arm.model_copy(update={"name": "bare", "gripper": None})]})
    assert _indices(gripper_actions(two, 14)) == [6]


def test_past_the_end_displacements_stop_and_the_rest_repeats() -> None:
    actions = np.array([[1, 2, 0], [3, 4, 1], [5, 6, 0.5]], np.float32)
    relative = np.array([True, True, False])
    chunk, over = action_chunk(actions, start=1, length=4, relative=relative)
    assert chunk.tolist() == [[3, 4, 1], [5, 6, 0.5], [0, 0, 0.5], [0, 0, 0.5]]
    assert over.tolist() == [False, False, True, True]


def test_past_the_end_targets_repeat() -> None:
    chunk, over = action_chunk(np.array([[1, 2]], np.float32), 0, 3, np.array([False, False]))
    assert chunk.tolist() == [[1, 2]] * 3
    assert over.tolist() == [False, True, True]


def test_a_chunk_within_the_episode_is_as_recorded() -> None:
    actions = np.arange(8, dtype=np.float32).reshape(4, 2)
    chunk, over = action_chunk(actions, 1, 3, np.array([True, True]))
    assert chunk.tolist() == actions[1:].tolist()
    assert not over.any()
    chunk[:] = 0
    assert actions[1:].any(), "the chunk must be a copy"
