from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from dualvla_core.kinematics import derivatives
from dualvla_core.kinematics.derivatives import differentiate, episode_starts, gripper_flips, gripper_states

NAN = np.nan


def _differentiate(trajectory: list[list[float]], *lengths: int, **options: object) -> derivatives.Derivatives:
    array = np.array(trajectory, np.float64)
    lengths = lengths or (len(array),)
    times = np.concatenate([np.arange(length, dtype=np.float64) for length in lengths])
    options = {"groups": (slice(0, array.shape[1]),), **options}
    return differentiate(array, times, np.array(lengths), **options)  # type: ignore[arg-type]


def test_second_difference_by_hand() -> None:
    # x: 0 1 4 4 4 -> steps 1 3 0 0 -> second differences 2 -3 0; y is at rest
    result = _differentiate([[0, 7], [1, 7], [4, 7], [4, 7], [4, 7]])
    assert_array_equal(result.acceleration, [NAN, 2, 3, 0, NAN])


def test_the_norm_runs_over_all_dimensions() -> None:
    # second differences 3 and 4
    assert_array_equal(_differentiate([[0, 0], [0, 0], [3, 4]]).acceleration, [NAN, 5, NAN])


def test_speed_is_that_of_the_step_which_led_to_the_frame() -> None:
    times = np.array([0.0, 0.5, 2.5])  # irregular
    trajectory = np.array([[0.0, 0, 1], [3, 4, 1], [3, 4, 5]])
    result = differentiate(trajectory, times, np.array([3]), groups=(slice(0, 2), slice(2, 3)))
    assert_array_equal(result.speed, [[NAN, NAN], [10, 0], [0, 2]])


def test_a_regular_clock_scales_every_frame_alike() -> None:
    trajectory = np.array([[0.0], [1], [4], [4], [4], [6]])
    slow, fast = (
        differentiate(trajectory, np.arange(6.0) * step, np.array([6]), groups=(slice(0, 1),)) for step in (1.0, 0.25)
    )
    assert_array_equal(fast.acceleration, slow.acceleration * 4**2)
    assert_array_equal(fast.jerk, slow.jerk * 4**3)


def test_an_irregular_clock_is_respected() -> None:
    # x = t^2 sampled at 0, 1, 3, 4, 8: steps at speeds 1, 4, 7, 12; a = 3/1.5, 3/1.5, 5/2.5
    times = np.array([0.0, 1, 3, 4, 8])
    result = differentiate(times[:, None] ** 2, times, np.array([5]), groups=(slice(0, 1),))
    assert_array_equal(result.speed[:, 0], [NAN, 1, 4, 7, 12])
    assert_array_equal(result.acceleration, [NAN, 2, 2, 2, NAN])
    assert_array_equal(result.jerk, [NAN, NAN, 0, NAN, NAN])


def test_jerk_by_hand() -> None:
    # second differences 2 -3 0 at frames 1 to 3; over the two seconds around frame 2 they change by -2
    assert_array_equal(_differentiate([[0], [1], [4], [4], [4]]).jerk, [NAN, NAN, 1, NAN, NAN])
    times = np.array([0.0, 1, 2, 6, 7])  # speeds 1 3 0 0 -> a = 2, -3 / 2.5, 0; over the five seconds 1 to 6
    irregular = differentiate(np.array([[0.0], [1], [4], [4], [4]]), times, np.array([5]), groups=(slice(0, 1),))
    assert_allclose(irregular.jerk[2], 2 / 5)


def test_jerk_is_not_standardised() -> None:
    trajectory: list[list[float]] = [[0], [1], [4], [4], [4]]
    assert_array_equal(
        _differentiate(trajectory, standardise=True).jerk, _differentiate(trajectory, standardise=False).jerk
    )


def test_angles_take_the_short_way_round() -> None:
    turn = 2 * np.pi
    yaw = [3.0, 3.1, 3.2 - turn, 3.3 - turn, 3.4 - turn + 2 * turn]  # a steady 0.1 rad per frame, however it is written
    result = _differentiate([[angle] for angle in yaw], angles=slice(0, 1))
    assert_allclose(result.acceleration, [NAN, 0, 0, 0, NAN], atol=1e-12)
    assert_allclose(result.speed[1:, 0], 0.1)


def test_only_angles_wrap() -> None:
    result = _differentiate([[0, 0], [0, 0], [5, 5]], angles=slice(1, 2))
    assert result.acceleration[1] == pytest.approx(np.hypot(5, 2 * np.pi - 5))


def test_episodes_do_not_touch_each_other() -> None:
    result = _differentiate([[0], [1], [4], [100], [101], [101], [7], [9]], 3, 3, 2)
    assert_array_equal(result.acceleration, [NAN, 2, NAN, NAN, 1, NAN, NAN, NAN])
    assert_array_equal(result.speed[:, 0], [NAN, 1, 3, NAN, 1, 0, NAN, 2])
    assert np.isnan(result.jerk).all()


def test_one_frame_has_no_derivative() -> None:
    result = _differentiate([[3.0]])
    assert_array_equal(result.acceleration, [NAN])
    assert_array_equal(result.speed, [[NAN]])
    assert_array_equal(result.jerk, [NAN])


def test_standardised_dimensions_weigh_the_same() -> None:
    # second differences: x 2 -2 over the two defined frames (root mean square 2), y 300 -300 (300), z 0
    trajectory = [[0.0, 0.0, 5.0], [0.0, 0.0, 5.0], [2.0, 300.0, 5.0], [2.0, 300.0, 5.0]]
    found = _differentiate(trajectory, standardise=True).acceleration
    assert_allclose(found[1:3], np.sqrt([2.0, 2.0]))


def test_each_episode_is_standardised_by_itself() -> None:
    trajectory = [[x] for x in (0.0, 0.0, 2.0, 2.0, 0.0, 0.0, 50.0, 50.0)]
    found = _differentiate(trajectory, 4, 4, standardise=True).acceleration
    assert_allclose(found, np.array([NAN, 1, 1, NAN, NAN, 1, 1, NAN]))


@st.composite
def _episodes(draw: st.DrawFn) -> tuple[list[int], np.ndarray]:
    lengths = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return lengths, rng.normal(size=(sum(lengths), 4)) * 3


@given(_episodes(), st.sampled_from([2, 3, 5, 1 << 14]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_all_episodes_at_once_equal_each_by_itself(
    episodes: tuple[list[int], np.ndarray], block: int, standardise: bool
) -> None:
    lengths, trajectory = episodes
    times = np.cumsum(np.random.default_rng(0).random(len(trajectory)) + 0.1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derivatives, "_BLOCK", block)
        together = differentiate(
            trajectory,
            times,
            np.array(lengths),
            groups=(slice(0, 2), slice(2, 4)),
            angles=slice(2, 4),
            standardise=standardise,
        )
    for start, length in zip(episode_starts(np.array(lengths)), lengths, strict=True):
        rows = slice(start, start + length)
        unwrapped = trajectory[rows].copy()
        unwrapped[:, 2:] = np.unwrap(unwrapped[:, 2:], axis=0)
        clock = times[rows]
        velocity = np.diff(unwrapped, axis=0) / np.diff(clock)[:, None]
        speed, expected, jerk = np.full(length, NAN), np.full(length, NAN), np.full(length, NAN)
        speed[1:] = np.linalg.norm(velocity[:, :2], axis=1)
        if length >= 3:
            second = np.diff(velocity, axis=0) / ((clock[2:] - clock[:-2]) / 2)[:, None]
            scale = np.sqrt((second**2).mean(axis=0)) if standardise else 1
            expected[1:-1] = np.linalg.norm(second / scale, axis=1)
        if length >= 5:
            jerk[2:-2] = np.linalg.norm((second[2:] - second[:-2]) / (clock[3:-1] - clock[1:-3])[:, None], axis=1)
        assert_allclose(together.speed[rows, 0], speed, rtol=1e-9)
        assert_allclose(together.acceleration[rows], expected, rtol=1e-9, atol=1e-12)
        assert_allclose(together.jerk[rows], jerk, rtol=1e-9, atol=1e-9)


def _states(values: list[float], *lengths: int, threshold: float = 0.5, hysteresis: float = 0.0) -> list[bool]:
    openness = np.array(values, np.float32)[:, None]
    states: list[bool] = gripper_states(openness, np.array(lengths or (len(values),)), threshold, hysteresis)[
        :, 0
    ].tolist()
    return states


def test_a_gripper_is_open_above_the_threshold() -> None:
    assert _states([0.2, 0.5, 0.51, 1.0]) == [False, False, True, True]
    assert _states([0.2, 0.35], threshold=0.3) == [False, True]


def test_within_the_band_the_gripper_stays_as_it_was() -> None:
    assert _states([0.0, 0.6, 0.75, 0.45, 0.3, 0.6], hysteresis=0.2) == [False, False, True, True, False, False]


def test_the_band_ends_above_its_upper_edge_and_at_its_lower_one() -> None:
    assert _states([0.0, 0.75, 0.76, 0.26, 0.25], hysteresis=0.25) == [False, False, True, True, False]


def test_an_episode_that_begins_within_the_band_begins_on_its_side() -> None:
    assert _states([1.0, 0.4, 0.6, 0.4], 1, 2, 1, hysteresis=0.2) == [True, False, False, False]


def test_a_flip_belongs_to_the_first_frame_of_the_new_state() -> None:
    is_open = np.array([[True], [True], [False], [False], [True]])
    assert gripper_flips(is_open, np.array([5])).tolist() == [False, False, True, False, True]


def test_a_flip_can_count_on_both_sides() -> None:
    is_open = np.array([[True], [True], [False], [False], [True], [False]])
    assert gripper_flips(is_open, np.array([4, 2]), both_sides=True).tolist() == [False, True, True, False, True, True]


def test_any_gripper_can_flip_but_none_between_episodes() -> None:
    is_open = np.array([[True, True], [True, False], [False, True], [False, True]])
    assert gripper_flips(is_open, np.array([2, 2])).tolist() == [False, True, False, False]
