from __future__ import annotations

import math

import numpy as np
import pytest

from dualvla_core.simulation.environment import Camera

# At the origin, looking along y with z up, 90 degrees high: at depth 2 m the image is 4 m wide and high.
CAMERA = Camera(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, 1.0, 0]), math.pi / 2)


@pytest.mark.parametrize(
    ("point", "expected"),
    [
        ((0, 2, 0), (0.5, 0.5, 2)),
        ((1, 2, 0), (0.75, 0.5, 2)),
        ((0, 2, 2), (0.5, 0, 2)),
        ((-2, 4, -1), (0.25, 0.625, 4)),
    ],
)
def test_points_are_projected_to_column_row_and_depth(
    point: tuple[float, float, float], expected: tuple[float, float, float]
) -> None:
    np.testing.assert_allclose(CAMERA.project(np.array(point, np.float64)), expected, atol=1e-12)
