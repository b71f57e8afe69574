from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.episodes.config import AnnotateConfig
from dualvla_core.episodes.embodiment import Arm, EePose, Embodiment, Gripper, SignalSlice
from dualvla_core.episodes.motion import motion_texts, settled

RATE = 10.0
PARAMS = AnnotateConfig(window_s=0.3, shortest_s=0)


def robot(arms: int = 1, grippers: bool = True, **more: object) -> Embodiment:
    column = "observation.state"
    described = [
        Arm(
            name=("left", "right")[number],
            ee_pose=EePose(
                position=SignalSlice(column=column, start=0, stop=3),
                rotation=SignalSlice(column=column, start=3, stop=6),
                rotation_format="euler_xyz",
            ),
            gripper=Gripper(column=column, index=6, closed_value=0, open_value=1) if grippers else None,
        )
        for number in range(arms)
    ]
    return Embodiment(name="x", description="x", robot_types=(), relative_actions=True, arms=tuple(described), **more)  # type: ignore[arg-type]


def said(velocity: list[float], fingers: float = 0.0, embodiment: Embodiment | None = None) -> str:
    """What is said of a steady motion of ``velocity`` ``[6]`` a second and of the fingers' speed."""
    times = np.arange(8) / RATE
    poses = times[:, None] * np.asarray(velocity)
    return motion_texts(PARAMS, poses, times[:, None] * fingers, times, embodiment or robot())[0]


@pytest.mark.parametrize(
    ("velocity", "fingers", "text"),
    [
        ([0, 0, 0, 0, 0, 0], 0, "Hold still."),
        ([0.06, 0, 0, 0, 0, 0], 0, "Hold still."),  # 18 mm within 0.3 s
        ([0.07, 0, 0, 0, 0, 0], 0, "Move forward."),  # 21 mm
        ([-0.1, 0, 0, 0, 0, 0], 0, "Move backward."),
        ([0, 0.1, 0, 0, 0, 0], 0, "Move left."),
        ([0, -0.1, -0.1, 0, 0, 0], 0, "Move right and down."),
        ([0.1, 0.04, 0.06, 0, 0, 0], 0, "Move forward and up."),  # below half of the largest goes unmentioned
        ([0, 0, 0, 0, 0.7, 0], 0, "Tilt down."),
        ([0, 0, 0, 0, -0.7, -0.7], 0, "Tilt up, turn clockwise."),
        ([0, 0, 0, 0, 0, 0.6], 0, "Hold still."),  # 0.18 rad
        ([0, 0, 0, 3.0, 0, 0], 0, "Hold still."),  # a roll has no word
        ([0, 0, 0, 0, 0, 0], -1, "Close the gripper."),
        ([0, 0, 0.1, 0, 0, 0], 1, "Move up, open the gripper."),
    ],
)
def test_the_vocabulary(velocity: list[float], fingers: float, text: str) -> None:
    assert said(velocity, fingers) == text


def test_directions_are_the_embodiments() -> None:
    assert said([0.1, 0, 0, 0, 0, 0], embodiment=robot(axes=("right", "forward", "up"))) == "Move right."
    assert said([-0.1, 0, 0, 0, 0, 0], embodiment=robot(axes=("right", "forward", "up"))) == "Move left."


def test_an_angle_that_wraps_is_a_small_turn() -> None:
    times = np.arange(6) / RATE
    poses = np.zeros((6, 6))
    poses[:, 5] = [3.0, 3.1, -3.08, -2.98, -2.88, -2.78]
    assert motion_texts(PARAMS, poses, None, times, robot())[0] == "Turn counterclockwise."


def test_two_arms_and_a_clock_that_is_not_regular() -> None:
    times = np.array([0, 0.1, 1.1, 1.2])
    poses = np.zeros((4, 12))
    poses[:, 6] = [0, 0.01, 0.5, 0.5]
    texts = motion_texts(PARAMS, poses, None, times, robot(arms=2, grippers=False))
    assert texts[0] == "Left arm: hold still; right arm: move forward."
    assert texts[2] == "Left arm: hold still; right arm: hold still."


def test_one_frame() -> None:
    assert motion_texts(PARAMS, np.zeros((1, 6)), np.zeros((1, 1)), np.zeros(1), robot()) == ["Hold still."]


def test_a_text_must_hold_to_be_said() -> None:
    assert settled("aabaabbbaaa", 2) == list("aaaaabbbaaa")
    assert settled(["a"], 5) == ["a"]
    assert settled([], 5) == []
