"""Orientations to roll, pitch and yaw: R = Rz(yaw) Ry(pitch) Rx(roll), angles in radians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from dualvla_core.episodes.embodiment import RotationFormat

Array = npt.NDArray[np.float64]


def quaternion_to_rpy(quaternion: Array) -> Array:
    """``[T, 4]`` quaternions x y z w (any length but 0) to ``[T, 3]`` roll pitch yaw; pitch in [-pi/2, pi/2]."""
    x, y, z, w = (quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)).T
    roll = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    pitch = np.arcsin(np.clip(2 * (w * y - z * x), -1, 1))
    yaw = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return np.stack([roll, pitch, yaw], axis=1)


def axis_angle_to_rpy(rotation: Array) -> Array:
    """``[T, 3]`` rotation vectors (axis times angle, rad) to ``[T, 3]`` roll pitch yaw."""
    angle = np.linalg.norm(rotation, axis=1, keepdims=True)
    # sin(a/2)/a written with sinc, which is exact at a = 0
    scale = np.sinc(angle / (2 * np.pi)) / 2
    return quaternion_to_rpy(np.hstack([rotation * scale, np.cos(angle / 2)]))


def matrix_to_rpy(matrix: Array) -> Array:
    """``[T, 9]`` rotation matrices, row after row, to ``[T, 3]`` roll pitch yaw; pitch in [-pi/2, pi/2]."""
    roll = np.arctan2(matrix[:, 7], matrix[:, 8])
    pitch = np.arcsin(np.clip(-matrix[:, 6], -1, 1))
    yaw = np.arctan2(matrix[:, 3], matrix[:, 0])
    return np.stack([roll, pitch, yaw], axis=1)


_TO_RPY: dict[RotationFormat, Callable[[Array], Array]] = {
    "none": lambda rotation: np.zeros((len(rotation), 3)),
    "euler_xyz": lambda rotation: rotation,
    "quaternion_xyzw": quaternion_to_rpy,
    "quaternion_wxyz": lambda rotation: quaternion_to_rpy(rotation[:, [1, 2, 3, 0]]),
    "axis_angle": axis_angle_to_rpy,
    "rotation_matrix": matrix_to_rpy,
}


def to_rpy(rotation: Array, rotation_format: RotationFormat) -> Array:
    """``[T, k]`` orientations in ``rotation_format`` (``k = 0`` for "none") to ``[T, 3]`` roll pitch yaw."""
    return _TO_RPY[rotation_format](rotation)
