from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.episodes.embodiment import RotationFormat
from dualvla_core.episodes.rotations import to_rpy

HALF = np.sqrt(0.5)
RPY = np.array([0.3, -0.5, 1.1])


def matrix(roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Rz(yaw) Ry(pitch) Rx(roll), written out."""
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(z @ y @ x)


@pytest.mark.parametrize(
    ("rotation", "rotation_format", "expected"),
    [
        ([], "none", [0, 0, 0]),
        ([0.1, 0.2, 0.3], "euler_xyz", [0.1, 0.2, 0.3]),
        ([HALF, 0, 0, HALF], "quaternion_xyzw", [np.pi / 2, 0, 0]),
        ([0, 0, 2 * HALF, 2 * HALF], "quaternion_xyzw", [0, 0, np.pi / 2]),  # length does not matter
        ([np.sqrt(0.75), 0, 0.5, 0], "quaternion_wxyz", [0, np.pi / 3, 0]),
        ([0, 0, 0.25], "axis_angle", [0, 0, 0.25]),
        ([0, 0, 0], "axis_angle", [0, 0, 0]),
    ],
)
def test_rotations_worked_by_hand(
    rotation: list[float], rotation_format: RotationFormat, expected: list[float]
) -> None:
    found = to_rpy(np.array([rotation], float).reshape(1, -1), rotation_format)
    np.testing.assert_allclose(found, [expected], atol=1e-7)


def test_axis_angle_agrees_with_the_rotation_matrix() -> None:
    rotation = matrix(*RPY)
    angle = np.arccos((np.trace(rotation) - 1) / 2)
    skew = rotation - rotation.T
    axis = np.array([skew[2, 1], skew[0, 2], skew[1, 0]]) / (2 * np.sin(angle))
    np.testing.assert_allclose(to_rpy((angle * axis)[None], "axis_angle"), RPY[None], atol=1e-9)


def test_a_rotation_matrix_is_read_row_by_row() -> None:
    np.testing.assert_allclose(to_rpy(matrix(*RPY).reshape(1, 9), "rotation_matrix"), RPY[None], atol=1e-9)
