"""Orientations of many trajectories at once, as roll, pitch and yaw: R = Rz(yaw) Ry(pitch) Rx(roll), in radians."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dualvla_core.kinematics.derivatives import blank, blocks, episode_starts


def angular_speed(
    rpy: NDArray[np.float64], timestamps: NDArray[np.float64], lengths: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Angular speed ``[N]`` (rad/s) of the turn that led to each frame of ``rpy`` ``[N, 3]``; NaN at first frames.

    It is the angle of the rotation from one frame to the next over the time between them, whatever the way the two
    orientations are written; the rates of roll, pitch and yaw alone would add up to more or less than that.
    """
    speed = np.full(len(rpy), np.nan)
    for rows in blocks(len(rpy), overlap=1):
        now = _quaternions(rpy[rows])
        # q and -q are one orientation. The chord |q - p| is 2 sin(angle / 4): exact where arccos(q . p) is not.
        chord = np.minimum(_norm(now[:, 1:] - now[:, :-1]), _norm(now[:, 1:] + now[:, :-1]))
        with np.errstate(divide="ignore", invalid="ignore"):  # the step between two episodes, removed below
            speed[rows.start + 1 : rows.stop] = 4 * np.arcsin(chord / 2) / np.diff(timestamps[rows])
    blank(speed, lengths, first=1)
    return speed


def continuous_rpy(rpy: NDArray[np.float64], lengths: NDArray[np.int64]) -> NDArray[np.float64]:
    """The same orientations ``[N, 3]``, written so that no episode jumps between the two ways of writing one.

    ``(roll, pitch, yaw)`` and ``(roll + pi, pi - pitch, yaw + pi)`` are the same orientation. A motion through pitch
    90 degrees leaves the range in which quaternions are written as angles, all three jump, and a second difference
    would take that for a jerk. The first frame of an episode stays as it is, the others follow it.
    """
    if not (np.abs(np.diff(rpy[:, 0])) > np.pi / 2).any():  # a jump turns the roll by about pi
        return rpy
    other = np.stack([rpy[:, 0] + np.pi, np.pi - rpy[:, 1], rpy[:, 2] + np.pi], axis=1)
    jumps = np.zeros(len(rpy), np.int64)
    jumps[1:] = _distance(other[1:], rpy[:-1]) < _distance(rpy[1:], rpy[:-1])
    starts = episode_starts(lengths)
    jumps[starts] = 0
    total = np.cumsum(jumps)
    odd = (total - np.repeat(total[starts], lengths)) % 2 == 1
    return np.where(odd[:, None], other, rpy)


def _quaternions(rpy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit quaternions ``[4, N]``, w x y z."""
    halves = rpy.T / 2
    (cr, cp, cy), (sr, sp, sy) = np.cos(halves), np.sin(halves)
    return np.stack(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )


def _norm(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Norms ``[N]`` of the columns of ``vectors`` ``[D, N]``."""
    return np.asarray(np.sqrt(np.einsum("ji,ji->i", vectors, vectors)))


def _distance(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squared differences ``[N]`` of angles ``[N, 3]``, each the short way round."""
    turns = first - second
    turns -= 2 * np.pi * np.round(turns / (2 * np.pi))
    return np.asarray((turns**2).sum(axis=1))
