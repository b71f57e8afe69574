"""The arm's motion as it was recorded: positions, velocities, and how much they change."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.errors import ArtifactError

_TRAVEL = 0.1  # m that fingers travel between open and closed; weighs them against the hand
_SMOOTH = 2  # frames before and after, over which a rate of change is taken


class ArmMotion(NamedTuple):
    """The recorded motion of one episode of ``T`` frames."""

    places: NDArray[np.float64]
    """``[T, D]``: positions of the hands (m), or joints where a robot has no pose; then the fingers' travel (m)."""
    times: NDArray[np.float64]
    """``[T]`` (s)."""
    hands: int
    """Hands whose positions in space come first in ``places``; 0 of joints."""


def arm_motion(signals: pa.RecordBatch) -> ArmMotion:
    """The arm's motion in an episode's ``signals`` (`schemas.SIGNALS`).

    Raises `ArtifactError` when they hold neither poses nor joints.
    """
    poses, joints, gripper = (signals.column(name) for name in ("ee_pose", "joints", "gripper"))
    if poses.null_count and joints.null_count:
        raise ArtifactError("An episode's signals hold neither poses nor joints on every frame; decode it again.")
    hands = 0
    if poses.null_count:
        places = np.array(joints.to_pylist(), np.float64)
    else:
        held = np.array(poses.to_pylist(), np.float64).reshape(signals.num_rows, -1, 6)
        hands, places = held.shape[1], held[:, :, :3].reshape(signals.num_rows, -1)
    if not gripper.null_count:
        places = np.hstack([places, _TRAVEL * np.array(gripper.to_pylist(), np.float64)])
    return ArmMotion(places, signals.column("timestamp").to_numpy(), hands)


def acceleration_score(motion: ArmMotion) -> NDArray[np.float32]:
    """Scores ``[T]`` in [0, 1): the norm of the second derivative of ``places``; as much as its mean scores 0.5."""
    norms = np.linalg.norm(rates(rates(motion.places, motion.times), motion.times), axis=1)
    scale = max(float(norms.mean()), np.finfo(np.float64).tiny)
    return np.asarray(norms / (norms + scale), np.float32)


def arm_velocity(motion: ArmMotion) -> NDArray[np.float32]:
    """``[T, D + 1]``: the velocity of each of ``places`` and the norm of all (m/s; joints as recorded)."""
    return with_speed(rates(motion.places, motion.times))


def with_speed(velocity: NDArray[np.float64]) -> NDArray[np.float32]:
    """``velocity`` ``[T, D]`` and its norm ``[T, D + 1]``."""
    return np.hstack([velocity, np.linalg.norm(velocity, axis=1, keepdims=True)]).astype(np.float32)


def rates(values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates of change ``[T, D]`` of ``values`` ``[T, D]``, over a few frames before and after each; 0 of one frame."""
    frames = np.arange(len(values))
    before, after = np.maximum(frames - _SMOOTH, 0), np.minimum(frames + _SMOOTH, len(values) - 1)
    apart = np.where(after > before, times[after] - times[before], 1.0)
    return np.asarray((values[after] - values[before]) / apart[:, None])
