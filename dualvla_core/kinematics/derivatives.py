"""Derivatives of many trajectories at once: flat arrays of frames, episode after episode.

Nothing here loops over episodes. Differences are taken across the whole array and the rows that straddle two episodes
are masked out afterwards, in blocks small enough to stay in the processor's cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 14  # frames


class Derivatives(NamedTuple):
    """What is measured per frame, NaN where it is undefined."""

    speed: NDArray[np.float64]
    """``[N, groups]``: norm of the velocity of each group of dimensions (unit per s); NaN at first frames."""
    acceleration: NDArray[np.float64]
    """``[N]``: norm of the second difference over all dimensions (unit per frame^2); NaN at first and last frames."""


def differentiate(
    trajectory: NDArray[np.float64],
    timestamps: NDArray[np.float64],
    lengths: NDArray[np.int64],
    *,
    groups: tuple[slice, ...],
    angles: slice | None = None,
    standardise: bool = False,
) -> Derivatives:
    """Speeds and acceleration norms of trajectories ``[N, D]`` whose episodes have ``lengths`` frames (``sum = N``).

    Speed at frame k is that of the step which led to it, ``|T[k] - T[k-1]| / (t[k] - t[k-1])``, per group of columns;
    ``timestamps`` ``[N]`` (s) may be irregular but must increase within an episode. Acceleration is the central second
    difference ``T[k+1] - 2 T[k] + T[k-1]`` with a time step of one frame: Eq. 4 compares it with its own mean, so the
    step cancels. Columns in ``angles`` (rad) are unwrapped: a step never turns by more than half a revolution. With
    ``standardise`` each column's second difference is divided by its root mean square over the episode.
    """
    count = len(trajectory)
    speed = np.full((count, len(groups)), np.nan)
    acceleration = np.full(count, np.nan)
    scale = None
    if standardise:
        scale = _root_mean_square(_second_difference(_steps(trajectory, angles)), lengths)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        rows = slice(max(0, start - 1), min(stop + 1, count))  # one frame of overlap either side
        steps = _steps(trajectory[rows], angles)
        elapsed = np.diff(timestamps[rows])
        with np.errstate(divide="ignore", invalid="ignore"):  # the step between two episodes, masked below
            for column, group in enumerate(groups):
                speed[rows.start + 1 : rows.stop, column] = _norm(steps[:, group]) / elapsed
            second = _second_difference(steps)
            if scale is not None:
                second = second / scale[rows.start + 1 : rows.stop - 1]
            acceleration[rows.start + 1 : rows.stop - 1] = _norm(second)
    first = episode_starts(lengths)
    speed[first] = np.nan
    acceleration[first] = np.nan
    acceleration[first + lengths - 1] = np.nan
    return Derivatives(speed, acceleration)


def episode_starts(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Row of each episode's first frame in a flat array of episodes of ``lengths`` frames."""
    return np.cumsum(lengths) - lengths


def gripper_states(
    openness: NDArray[np.floating[Any]], lengths: NDArray[np.int64], threshold: float, hysteresis: float
) -> NDArray[np.bool_]:
    """Binarised gripper state ``[N, grippers]`` (True = open) of ``openness`` ``[N, grippers]`` in [0, 1].

    Open above ``threshold + hysteresis``, closed at or below ``threshold - hysteresis``; in between the gripper stays
    as it was. An episode that begins in between begins on its side of ``threshold``.
    """
    is_open = openness > threshold
    if hysteresis == 0:
        return is_open
    decided = (openness > threshold + hysteresis) | (openness <= threshold - hysteresis)
    decided[episode_starts(lengths)] = True
    rows = np.where(decided, np.arange(len(openness))[:, None], 0)
    return np.take_along_axis(is_open, np.maximum.accumulate(rows, axis=0), axis=0)


def gripper_flips(is_open: NDArray[np.bool_], lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any gripper differs from the frame before ``[N]``: DualVLA Eq. 4's one-sided limits, frame by frame.

    The flip belongs to the first frame of the new state; an episode's first frame has none.
    """
    flips = np.zeros(len(is_open), np.bool_)
    flips[1:] = (is_open[1:] != is_open[:-1]).any(axis=1)
    flips[episode_starts(lengths)] = False
    return flips


def _steps(trajectory: NDArray[np.float64], angles: slice | None) -> NDArray[np.float64]:
    """First differences ``[N - 1, D]``; angles take the short way round."""
    steps = np.subtract(trajectory[1:], trajectory[:-1])
    if angles is not None:
        turns = steps[:, angles]
        wrapped = np.abs(turns) > np.pi
        if wrapped.any():
            turns[wrapped] -= 2 * np.pi * np.round(turns[wrapped] / (2 * np.pi))
    return steps


def _second_difference(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.subtract(steps[1:], steps[:-1])


def _norm(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))


def _root_mean_square(second: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """Root mean square of each column over its episode, per frame ``[N, D]``; infinite where it never accelerates."""
    count = int(lengths.sum())
    square = np.zeros((count, second.shape[1]))
    square[1:-1] = second**2
    first = episode_starts(lengths)
    square[first] = 0
    square[first + lengths - 1] = 0
    scale = np.sqrt(np.add.reduceat(square, first) / np.maximum(lengths - 2, 1)[:, None])
    return np.repeat(np.where(scale > 0, scale, np.inf), lengths, axis=0)
