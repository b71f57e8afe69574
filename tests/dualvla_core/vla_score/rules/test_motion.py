from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.rules.measure import grade
from dualvla_core.vla_score.rules.motion import Motion, action_measures, course_measures

SCALES = RuleJudgeConfig()


def straight(steps: int = 60, length: float = 0.3) -> np.ndarray:
    """A steady motion to the right, with the positions of ``steps`` steps ``[steps + 1, 3]``."""
    return np.outer(np.linspace(0, 1, steps + 1), [length, 0, 0])


def motion(positions: np.ndarray, opening: np.ndarray | None = None) -> Motion:
    return Motion(positions, np.ones(len(positions)) if opening is None else opening)


def action(positions: np.ndarray, max_steps: int = 200) -> dict[str, float]:
    return {each.name: each.value for each in action_measures(motion(positions), max_steps, SCALES)}


def intention(positions: np.ndarray) -> dict[str, float]:
    return {each.name: each.value for each in course_measures(motion(positions), SCALES)}


def test_a_steady_straight_motion_is_perfect() -> None:
    assert action(straight()) == pytest.approx(
        dict.fromkeys(("smoothness", "reversals", "activity", "directness", "time", "grasping"), 1)
    )
    assert intention(straight()) == pytest.approx({"heading": 1, "final approach": 1, "reach": 1})


def test_smoothness_by_hand() -> None:
    # steps of 1, 1, 1, 2 cm: the only third difference is (2 - 1) - (1 - 1) = 1 cm, the path 5 cm long
    positions = np.array([0, 0.01, 0.02, 0.03, 0.05])[:, None] * np.array([1.0, 0, 0])
    third = 0.01
    assert action(positions)["smoothness"] == pytest.approx(1 / (1 + (third / 0.05 / SCALES.half_jerk) ** 2))


def test_directness_is_the_farthest_distance_over_the_path() -> None:
    back_and_forth = np.concatenate([straight(30), straight(30)[::-1], straight(30), straight(30)[::-1]])
    farthest, length = 0.3, 4 * 0.3
    assert action(back_and_forth)["directness"] == pytest.approx(farthest / length / SCALES.direct_path)


@pytest.mark.parametrize(("limit", "expected"), [(240, 1), (120, 1), (80, 0.5), (60, 0)])
def test_time_counts_from_half_of_the_limit(limit: int, expected: float) -> None:
    assert action(straight(60), limit)["time"] == pytest.approx(expected)


def test_idle_steps_are_those_without_hand_and_fingers() -> None:
    waiting = np.concatenate([straight(30), np.repeat(straight(30)[-1:], 30, axis=0)])
    assert action(waiting)["activity"] == pytest.approx((0.5 - SCALES.all_idle) / (1 - SCALES.all_idle))
    grasping = np.concatenate([np.ones(31), np.linspace(1, 0, 30)])
    measures = {each.name: each for each in action_measures(motion(waiting, grasping), 200, SCALES)}
    assert measures["activity"].why == "1 of 60 steps idle"  # the first of them finds the fingers still open


def test_turning_back_is_counted_once_a_turn() -> None:
    forth = straight(30)
    twice = np.concatenate([forth, forth[-2::-1], forth[1:]])
    measures = {each.name: each for each in action_measures(motion(twice), 300, SCALES)}
    assert measures["reversals"].why == "the hand turns back 2 times"
    assert measures["reversals"].value == pytest.approx(1 / (1 + 2 / SCALES.half_reversals))
    corner = np.concatenate([forth, forth[-1] + np.outer(np.linspace(0, 0.3, 31), [0, 1, 0])[1:]])
    assert action(corner)["reversals"] == 1


def test_grasping_and_releasing_is_free_but_fluttering_is_not() -> None:
    once = np.repeat([1.0, 0.0, 1.0], [20, 21, 20])
    assert _grasping(once) == 1
    flutter = np.tile([1.0, 0.0], 31)[:61]
    assert _grasping(flutter) == pytest.approx(1 / (1 + (59 - 2) / SCALES.half_reversals))


def _grasping(opening: np.ndarray) -> float:
    return {each.name: each.value for each in action_measures(motion(straight(), opening), 200, SCALES)}["grasping"]


@pytest.mark.parametrize("positions", [np.zeros((50, 3)), straight(50, 0.0009), np.zeros((2, 3))])
def test_a_hand_that_hardly_moves_gives_no_evidence(positions: np.ndarray) -> None:
    assert action(positions) == {}
    assert intention(positions) == {}


def test_a_wavering_hand_has_no_heading() -> None:
    wavering = np.zeros((81, 3))
    wavering[1::2, 0] = 0.01
    assert intention(wavering)["heading"] == 0


def test_an_approach_that_turns_away_counts_less() -> None:
    away = straight().copy()
    away[50:, 0] = away[50, 0] - np.arange(11) * 0.005  # the last third goes on and then back
    assert intention(away)["final approach"] < intention(straight())["final approach"]


def test_reach_is_the_distance_from_the_start() -> None:
    assert intention(straight(60, 0.05))["reach"] == pytest.approx(0.5)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**16),
    calm=st.floats(0, 1),
    shaken=st.floats(0, 1),
)
def test_a_smoother_trajectory_never_scores_lower(seed: int, calm: float, shaken: float) -> None:
    noise = np.random.default_rng(seed).normal(0, 0.002, (61, 3))
    less, more = sorted((calm, shaken))
    smooth, rough = straight() + less * noise, straight() + more * noise
    assert action(smooth)["smoothness"] >= action(rough)["smoothness"] - 1e-9
    assert grade(action_measures(motion(smooth), 200, SCALES)) >= grade(action_measures(motion(rough), 200, SCALES))


@settings(deadline=None, max_examples=40)
@given(steps=st.integers(20, 199), more=st.integers(1, 100))
def test_taking_longer_for_the_same_path_never_scores_higher(steps: int, more: int) -> None:
    fast, slow = straight(steps), straight(steps + more)
    assert grade(action_measures(motion(slow), 300, SCALES)) <= grade(action_measures(motion(fast), 300, SCALES))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**16))
def test_a_random_walk_intends_less_than_a_straight_motion(seed: int) -> None:
    walk = np.random.default_rng(seed).normal(0, 0.005, (100, 3)).cumsum(axis=0)
    assert grade(course_measures(motion(walk), SCALES)) < 10


@settings(deadline=None, max_examples=40)
@given(turn=st.floats(0, 6.28), shift=st.floats(-1, 1))
def test_measures_do_not_depend_on_place_and_direction(turn: float, shift: float) -> None:
    path = straight() + np.random.default_rng(1).normal(0, 0.002, (61, 3))
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    moved = path @ rotation.T + shift
    assert action(moved) == pytest.approx(action(path))
    assert intention(moved) == pytest.approx(intention(path))
