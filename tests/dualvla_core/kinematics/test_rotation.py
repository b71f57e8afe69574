from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dualvla_core.kinematics import derivatives
from dualvla_core.kinematics.rotation import _distance, angular_speed, continuous_rpy

NAN = np.nan
HALF, TURN = np.pi, 2 * np.pi


def _speed(rpy: list[list[float]], *lengths: int, step: float = 1.0) -> np.ndarray:
    array, lengths = np.array(rpy, np.float64), lengths or (len(rpy),)
    times = np.concatenate([np.arange(length) * step for length in lengths])
    return angular_speed(array, times, np.array(lengths))


def _matrix(rpy: np.ndarray) -> np.ndarray:
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turn_about_one_axis_is_its_angle_over_its_time(axis: int) -> None:
    rpy = np.zeros((3, 3))
    rpy[:, axis] = [0, 0.3, 0.2]
    assert_allclose(_speed(rpy.tolist(), step=0.5), [NAN, 0.6, 0.2])


def test_a_tiny_turn_is_exact() -> None:
    assert_allclose(_speed([[0, 0, 1], [0, 0, 1 + 1e-9]])[1], 1e-9, rtol=1e-6)


def test_the_short_way_round_counts() -> None:
    assert_allclose(_speed([[0, 0, 3.1], [0, 0, -3.1], [0, 0, -3.1 + TURN]]), [NAN, TURN - 6.2, 0], atol=1e-12)


def test_rates_that_cancel_at_the_pole_are_no_rotation() -> None:
    # pointing straight up, roll and yaw turn about the same axis
    assert_allclose(_speed([[0.1, np.pi / 2, 0.2], [0.4, np.pi / 2, 0.5]])[1], 0, atol=1e-12)


def test_episodes_do_not_touch_each_other() -> None:
    assert_allclose(_speed([[0, 0, 0], [0, 0, 1], [0, 0, 3], [0, 0, 2.5]], 2, 2), [NAN, 1, NAN, 0.5])


@given(st.integers(0, 2**32), st.sampled_from([2, 3, 1 << 14]))
@settings(max_examples=40, deadline=None)
def test_it_is_the_angle_of_the_rotation_between_two_frames(seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    rpy, times = rng.uniform(-4, 4, (6, 3)), np.cumsum(rng.uniform(0.1, 1, 6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derivatives, "_BLOCK", block)
        found = angular_speed(rpy, times, np.array([6]))
    for k in range(1, 6):
        between = _matrix(rpy[k - 1]).T @ _matrix(rpy[k])
        angle = np.arccos(np.clip((np.trace(between) - 1) / 2, -1, 1))
        assert_allclose(found[k], angle / (times[k] - times[k - 1]), rtol=1e-6, atol=1e-6)


def test_a_motion_through_the_pole_goes_on_smoothly() -> None:
    pitch = np.linspace(1.4, 1.8, 5)  # past pi / 2 it is written the other way
    written = np.array([[0.1, p, 0.2] if p <= np.pi / 2 else [0.1 + HALF, HALF - p, 0.2 - HALF] for p in pitch])
    smooth = continuous_rpy(written, np.array([5]))
    steps = np.diff(smooth, axis=0)
    steps -= TURN * np.round(steps / TURN)
    assert_allclose(steps, [[0, 0.1, 0]] * 4, atol=1e-12)


def test_each_episode_begins_as_it_is_written() -> None:
    jump = [[0.0, 1.5, 0.0], [HALF, 1.5, HALF]]
    steady = [[HALF, 1.5, HALF], [HALF, 1.5, HALF]]
    smooth = continuous_rpy(np.array(jump + steady + jump), np.array([2, 2, 2]))
    again = [HALF + HALF, HALF - 1.5, HALF + HALF]
    assert_allclose(smooth, [jump[0], again, *steady, jump[0], again])


def test_a_second_jump_leads_back() -> None:
    there, back = [0.0, 1.5, 0.0], [HALF, HALF - 1.5, HALF]
    smooth = continuous_rpy(np.array([there, back, there, back]), np.array([4]))
    assert_allclose(np.mod(smooth + 1e-9, TURN), [there] * 4, atol=1e-8)


def test_a_mere_wrap_is_left_alone() -> None:
    rpy = np.array([[3.1, 0, 0], [-3.1, 0, 0], [-3.0, 0, 0]])
    assert_array_equal(continuous_rpy(rpy, np.array([3])), rpy)


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_orientations_stay_what_they_are(seed: int) -> None:
    rpy = np.random.default_rng(seed).uniform(-3, 3, (8, 3))
    for before, after in zip(rpy, continuous_rpy(rpy, np.array([5, 3])), strict=True):
        assert_allclose(_matrix(after), _matrix(before), atol=1e-12)


def test_a_turned_hand_goes_through_the_pole_without_a_jump() -> None:
    """Roll 0.5 and yaw -1 stay while the pitch goes from 1.4 to 1.8; beyond 90 degrees it is written the other way."""
    pitch = np.array([1.4, 1.5, 1.6, 1.7, 1.8])
    written = np.stack([np.full(5, 0.5), pitch, np.full(5, -1.0)], axis=1)
    beyond = pitch > np.pi / 2
    written[beyond] = np.stack([np.full(3, 0.5 - np.pi), np.pi - pitch[beyond], np.full(3, np.pi - 1)], axis=1)
    told = continuous_rpy(written, np.array([5]))
    np.testing.assert_allclose(np.angle(np.exp(1j * (told - [0.5, 0, -1])))[:, [0, 2]], 0, atol=1e-12)
    np.testing.assert_allclose(told[:, 1], pitch)


def test_orientations_are_apart_by_the_short_way_round() -> None:
    first = np.array([[3.0, 0, 0], [2.0, 0, 0], [-2.0, 0, 0], [1.0, 0.5, -0.5], [0.5, 0, 0]])
    second = np.array([[-3.0, 0, 0], [-2.0, 0, 0], [2.0, 0, 0], [0.5, 0.25, 0.5], [0.5, 0, 0]])
    four = (2 * np.pi - 4) ** 2  # 2 and -2 are 4 apart one way, 2.28 the other
    expected = [(2 * np.pi - 6) ** 2, four, four, 0.25 + 0.0625 + 1, 0]
    np.testing.assert_allclose(_distance(first, second), expected)
