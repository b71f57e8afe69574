from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.events.arm import ArmMotion, acceleration_score, arm_motion, arm_velocity
from dualvla_core.schemas import SIGNALS


def test_hands_and_fingers_are_read(make_segment: Callable[..., Path]) -> None:
    pose = np.arange(18.0).reshape(3, 6)
    segment = Segment(make_segment([{"trajectory": pose, "gripper": np.array([[1.0], [0.5], [0.0]])}]))
    motion = arm_motion(segment.signals(0))
    np.testing.assert_allclose(motion.places, np.hstack([pose[:, :3], [[0.1], [0.05], [0.0]]]))
    assert motion.times.tolist() == pytest.approx([0, 0.1, 0.2])
    assert motion.hands == 1


def test_both_hands_of_two_arms_are_read() -> None:
    poses = np.arange(24.0).reshape(2, 12)
    rows = [
        dict.fromkeys(SIGNALS.names)
        | {"episode": "e", "frame_index": frame, "timestamp": frame / 10, "instruction": ""}
        | {"ee_pose": poses[frame].tolist(), "gripper": [1.0, 0.0]}
        for frame in range(2)
    ]
    motion = arm_motion(pa.RecordBatch.from_pylist(rows, schema=SIGNALS))
    assert motion.hands == 2
    np.testing.assert_allclose(motion.places, np.hstack([poses[:, :3], poses[:, 6:9], [[0.1, 0.0]] * 2]))


def test_joints_are_read_where_there_is_no_pose(make_segment: Callable[..., Path]) -> None:
    joints = np.arange(12.0).reshape(3, 4)
    segment = Segment(make_segment([{"trajectory": joints}], "joints"))
    motion = arm_motion(segment.signals(0))
    assert motion.places.tolist() == joints.tolist()
    assert motion.hands == 0


def test_an_arm_that_was_not_recorded_is_named() -> None:
    row = dict.fromkeys(SIGNALS.names) | {
        "episode": "e",
        "frame_index": 0,
        "timestamp": 0.0,
        "instruction": "",
    }
    signals = pa.RecordBatch.from_pylist([row], schema=SIGNALS)
    with pytest.raises(ArtifactError, match="neither poses nor joints"):
        arm_motion(signals)


def test_velocity_and_acceleration_by_hand() -> None:
    """One number that stands still for five frames and then goes 1 m/s, at 10 Hz."""
    places = np.maximum(0, np.arange(11) - 5)[:, None] / 10
    motion = ArmMotion(places, np.arange(11) / 10, hands=0)
    speed = [0, 0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1]  # over two frames before and after
    np.testing.assert_allclose(arm_velocity(motion), np.repeat(speed, 2).reshape(11, 2), atol=1e-6)
    second = np.array([0, 0, 0.625, 1.25, 1.875, 2.5, 1.875, 1.25, 0.625, 0, 0])
    np.testing.assert_allclose(acceleration_score(motion), second / (second + second.mean()), atol=1e-6)


def test_an_arm_that_never_moves_and_one_frame_score_nothing() -> None:
    assert acceleration_score(ArmMotion(np.ones((4, 2)), np.arange(4.0), hands=0)).tolist() == [0] * 4
    assert acceleration_score(ArmMotion(np.ones((1, 2)), np.zeros(1), hands=0)).tolist() == [0]
