"""The action label of a frame."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualvla_core.kinematics.derivatives import episode_starts


class ActionLabels(NamedTuple):
    """The action layer's verdict on ``N`` frames, and the arm that decided it."""

    label: NDArray[np.bool_]
    """``[N]``: the frame is a kinematic key-frame."""
    acceleration: NDArray[np.float64]
    """``[N]``: norm of the arm that accelerates most for its own mean; NaN where undefined."""
    mean: NDArray[np.float64]
    """``[N]``: that arm's mean norm over the trajectory; NaN where `acceleration` is."""


def action_labels(
    acceleration: NDArray[np.float64], gripper_flip: NDArray[np.bool_], lengths: NDArray[np.int64]
) -> ActionLabels:
    """DualVLA Eq. 4 for trajectories laid end to end, of ``lengths`` frames each.

    A frame is labelled where the norm of the second time-derivative exceeds its mean over the trajectory, or the
    gripper flips. ``acceleration`` ``[N, arms]`` holds the norms, NaN at each trajectory's ends: those frames are left
    out of the mean and can be labelled by ``gripper_flip`` ``[N]`` only. With several arms, each is held against its
    own mean and one is enough.
    """
    first = episode_starts(lengths)
    defined = ~np.isnan(acceleration)
    counts = np.add.reduceat(defined, first, dtype=np.int64)
    sums = np.add.reduceat(np.where(defined, acceleration, 0.0), first)
    means = np.repeat(sums / np.maximum(counts, 1), lengths, axis=0)
    above = defined & (acceleration > means)
    ratio = np.divide(acceleration, means, out=np.zeros_like(means), where=means > 0)
    decisive = np.nan_to_num(ratio, nan=-1.0).argmax(axis=1)[:, None]
    dominant = np.take_along_axis(acceleration, decisive, axis=1)[:, 0]
    mean = np.take_along_axis(means, decisive, axis=1)[:, 0]
    return ActionLabels(above.any(axis=1) | gripper_flip, dominant, np.where(np.isnan(dominant), np.nan, mean))
