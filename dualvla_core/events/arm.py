"""References that know the arm's motion exactly and see no picture.

No video shows the arm moving better than it was recorded. A detector behind these lacks eyes, not examples; a boundary
that these miss too is not in the arm's motion, or not to be learned from these examples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.errors import ArtifactError
from dualvla_core.events.calibration import choose_picking
from dualvla_core.events.config import EventsTrainingConfig, MotionNetConfig
from dualvla_core.events.labels import LabelledEpisode, choose
from dualvla_core.events.motion_net import train_motion_net

_TRAVEL = 0.1  # m that fingers travel between open and closed; weighs them against the hand
_SMOOTH = 2  # frames before and after, over which a rate of change is taken


class ArmMotion(NamedTuple):
    """The recorded motion of one episode of ``T`` frames."""

    places: NDArray[np.float64]
    """``[T, D]``: positions of the hands (m), or joints where a robot has no pose; then the fingers' travel (m)."""
    times: NDArray[np.float64]
    """``[T]`` (s)."""


def arm_motion(signals: pa.RecordBatch) -> ArmMotion:
    """The arm's motion in an episode's ``signals`` (`schemas.SIGNALS`).

    Raises `ArtifactError` when they hold neither poses nor joints.
    """
    poses, joints, gripper = (signals.column(name) for name in ("ee_pose", "joints", "gripper"))
    if poses.null_count and joints.null_count:
        raise ArtifactError("An episode's signals hold neither poses nor joints on every frame; decode it again.")
    if poses.null_count:
        places = np.array(joints.to_pylist(), np.float64)
    else:
        hands = np.array(poses.to_pylist(), np.float64).reshape(signals.num_rows, -1, 6)
        places = hands[:, :, :3].reshape(signals.num_rows, -1)
    if not gripper.null_count:
        places = np.hstack([places, _TRAVEL * np.array(gripper.to_pylist(), np.float64)])
    return ArmMotion(places, signals.column("timestamp").to_numpy())


def arm_boundaries(
    params: MotionNetConfig,
    settings: EventsTrainingConfig,
    motions: Mapping[str, ArmMotion],
    learned: Sequence[LabelledEpisode],
    episodes: Sequence[LabelledEpisode],
) -> dict[str, dict[str, list[int]]]:
    """Boundaries of ``episodes`` by two references, calibrated on their part of the ``learned`` episodes.

    ``arm_peaks`` are peaks of the acceleration; ``arm_learned`` is the motion network, trained on the episodes that
    detectors are trained on, with the recorded velocities in place of the optical flow.
    """
    train, calibrate = (choose(settings.calibration, learned, part) for part in ("train", "calibrate"))
    velocities = {name: arm_velocity(motion) for name, motion in motions.items()}
    network = train_motion_net(params, settings.training, train, velocities).network
    asked = [*calibrate, *episodes]
    scored = {
        "arm_peaks": {each.episode: acceleration_score(motions[each.episode]) for each in asked},
        "arm_learned": {each.episode: network.score(velocities[each.episode]) for each in asked},
    }
    pickings = {name: choose_picking(settings.calibration, calibrate, scores) for name, scores in scored.items()}
    return {
        name: {each.episode: picking.boundaries(scored[name][each.episode], each.fps).tolist() for each in episodes}
        for name, picking in pickings.items()
    }


def acceleration_score(motion: ArmMotion) -> NDArray[np.float32]:
    """Scores ``[T]`` in [0, 1): the norm of the second derivative of ``places``; as much as its mean scores 0.5."""
    norms = np.linalg.norm(rates(rates(motion.places, motion.times), motion.times), axis=1)
    scale = max(float(norms.mean()), np.finfo(np.float64).tiny)
    return np.asarray(norms / (norms + scale), np.float32)


def arm_velocity(motion: ArmMotion) -> NDArray[np.float32]:
    """``[T, D + 1]``: the velocity of each of ``places`` and the norm of all (m/s; joints as recorded)."""
    velocity = rates(motion.places, motion.times)
    return np.hstack([velocity, np.linalg.norm(velocity, axis=1, keepdims=True)]).astype(np.float32)


def rates(values: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rates of change ``[T, D]`` of ``values`` ``[T, D]``, over a few frames before and after each; 0 of one frame."""
    frames = np.arange(len(values))
    before, after = np.maximum(frames - _SMOOTH, 0), np.minimum(frames + _SMOOTH, len(values) - 1)
    apart = np.where(after > before, times[after] - times[before], 1.0)
    return np.asarray((values[after] - values[before]) / apart[:, None])
