"""Derivatives of many trajectories at once: flat arrays of frames, episode after episode.

Nothing here loops over episodes. Differences are taken across the whole array and the rows that straddle two episodes
are masked out afterwards, in blocks small enough to stay in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 14  # frames


class Derivatives(NamedTuple):
    """What is measured per frame, NaN where it is undefined; units are those of the trajectory per s, s^2 and s^3."""

    speed: NDArray[np.float64]
    """``[N, groups]``: norm of the velocity of each group of dimensions; NaN at first frames."""
    acceleration: NDArray[np.float64]
    """``[N]``: norm of the second derivative over all dimensions; NaN at first and last frames."""
    jerk: NDArray[np.float64]
    """``[N]``: norm of the third derivative over all dimensions; NaN at the first two and last two frames."""


def differentiate(
    trajectory: NDArray[np.float64],
    timestamps: NDArray[np.float64],
    lengths: NDArray[np.int64],
    *,
    groups: tuple[slice, ...],
    angles: slice | None = None,
    standardise: bool = False,
) -> Derivatives:
    """Derivatives of trajectories ``[N, D]`` whose episodes have ``lengths`` frames (``sum = N``).

    ``timestamps`` ``[N]`` (s) may be irregular but must increase within an episode. With the velocities ``v[k]`` of the
    steps from frame k to k+1:

    - speed at frame k is that of the step which led to it, ``|v[k-1]|``, per group of columns;
    - acceleration is central, ``|a[k]|`` with ``a[k] = (v[k] - v[k-1]) / ((t[k+1] - t[k-1]) / 2)``, which on a regular
      clock is ``(T[k+1] - 2 T[k] + T[k-1]) / dt^2``;
    - jerk is central in turn, ``|a[k+1] - a[k-1]| / (t[k+1] - t[k-1])``.

    Columns in ``angles`` (rad) are unwrapped: a step never turns by more than half a revolution. With ``standardise``
    each column's acceleration is divided by its root mean square over the episode; jerk stays as measured.
    """
    count = len(trajectory)
    speed = np.full((count, len(groups)), np.nan)
    acceleration, jerk = np.full(count, np.nan), np.full(count, np.nan)
    scale = None
    if standardise:
        scale = _root_mean_square(_accelerations(_velocities(trajectory, timestamps, angles), timestamps), lengths)
    for rows in blocks(count, overlap=2):
        times = timestamps[rows]
        velocities = _velocities(trajectory[rows], times, angles)
        for column, group in enumerate(groups):
            speed[rows.start + 1 : rows.stop, column] = _norm(velocities[:, group])
        second = _accelerations(velocities, times)
        if len(second) > 2:
            third = (second[2:] - second[:-2]) / (times[3:-1] - times[1:-3])[:, None]
            jerk[rows.start + 2 : rows.stop - 2] = _norm(third)
        if scale is not None:
            second = second / scale[rows.start + 1 : rows.stop - 1]
        acceleration[rows.start + 1 : rows.stop - 1] = _norm(second)
    blank(speed, lengths, first=1)
    blank(acceleration, lengths, first=1, last=1)
    blank(jerk, lengths, first=2, last=2)
    return Derivatives(speed, acceleration, jerk)


def blocks(count: int, overlap: int) -> Iterator[slice]:
    """Slices of ``count`` rows, ``overlap`` rows longer on either side than the blocks they tile the whole with."""
    for start in range(0, count, _BLOCK):
        yield slice(max(0, start - overlap), min(start + _BLOCK + overlap, count))


def blank(values: NDArray[np.float64], lengths: NDArray[np.int64], *, first: int, last: int = 0) -> None:
    """Set the ``first`` and ``last`` frames of each episode in ``values`` ``[N, ...]`` to NaN, in place."""
    starts = episode_starts(lengths)
    for frame in range(first):
        values[(starts + frame)[lengths > frame]] = np.nan
    for frame in range(last):
        values[(starts + lengths - 1 - frame)[lengths > frame]] = np.nan


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


def gripper_flips(
    is_open: NDArray[np.bool_], lengths: NDArray[np.int64], *, both_sides: bool = False
) -> NDArray[np.bool_]:
    """Whether any gripper differs from the frame before ``[N]``: DualVLA Eq. 4's one-sided limits, frame by frame.

    The flip belongs to the first frame of the new state, with ``both_sides`` also to the last one of the old; an
    episode's first frame begins none.
    """
    flips = np.zeros(len(is_open), np.bool_)
    flips[1:] = (is_open[1:] != is_open[:-1]).any(axis=1)
    flips[episode_starts(lengths)] = False
    if both_sides:
        flips[:-1] |= flips[1:]
    return flips


@np.errstate(divide="ignore", invalid="ignore")  # the step between two episodes, which `blank` removes
def _velocities(
    trajectory: NDArray[np.float64], timestamps: NDArray[np.float64], angles: slice | None
) -> NDArray[np.float64]:
    """Velocities of the steps ``[N - 1, D]``; angles take the short way round."""
    steps = np.subtract(trajectory[1:], trajectory[:-1])
    if angles is not None:
        turns = steps[:, angles]
        wrapped = np.abs(turns) > np.pi
        if wrapped.any():
            turns[wrapped] -= 2 * np.pi * np.round(turns[wrapped] / (2 * np.pi))
    steps /= np.diff(timestamps)[:, None]
    return steps


@np.errstate(divide="ignore", invalid="ignore")
def _accelerations(velocities: NDArray[np.float64], timestamps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Second derivative at the inner frames ``[N - 2, D]``."""
    changes = np.subtract(velocities[1:], velocities[:-1])
    changes /= ((timestamps[2:] - timestamps[:-2]) / 2)[:, None]
    return changes


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
