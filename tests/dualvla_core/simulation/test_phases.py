from __future__ import annotations

from collections.abc import Callable

from dualvla_core.simulation.environment import Observation
from dualvla_core.simulation.phases import phase_changes, phases_of


def test_pulling_a_drawer_passes_through_its_phases(observation: Callable[..., Observation]) -> None:
    handle = [0.1, 0.74, 0.09]
    frames = [
        observation([0.0, 0.6, 0.2], handle=handle),  # far away
        observation([0.1, 0.70, 0.3], handle=handle),  # 4 cm off, seen from above
        observation([0.1, 0.74, 0.15], handle=handle),  # 8 cm above the point gone for, 2 cm below the handle
        observation([0.1, 0.74, 0.10], handle=handle),  # 3 cm above it
        observation([0.1, 0.72, 0.07], handle=[0.1, 0.737, 0.09]),  # the handle has moved by 3 mm
        observation([0.1, 0.70, 0.07], handle=[0.1, 0.72, 0.09]),
        observation([0.1, 0.55, 0.07], handle=[0.1, 0.57, 0.09], success=True),
    ]
    assert phases_of("drawer-open", frames) == ["approach", "align", "align", "contact", "contact", "pull", "hold"]


def test_phases_are_never_re_entered(observation: Callable[..., Observation]) -> None:
    ball = [0.0, 0.8, 0.2]
    hands = ([0.0, 0.6, 0.2], [0.0, 0.7, 0.2], [0.0, 0.66, 0.2], [0.0, 0.7, 0.2])
    frames = [observation(hand, ball=ball) for hand in hands]
    assert phases_of("reach", frames) == ["approach", "align", "align", "align"]


def test_a_phase_whose_successor_holds_already_is_passed_over(observation: Callable[..., Observation]) -> None:
    button = [0.0, 0.8, 0.3]
    frames = [
        observation([0.0, 0.4, 0.2], button=button),
        observation([0.0, 0.8, 0.3], button=[0.0, 0.8, 0.29]),
    ]
    assert phases_of("button-press-topdown", frames) == ["approach", "press"]


def test_closing_a_drawer_begins_with_rising(observation: Callable[..., Observation]) -> None:
    handle = [0.0, 0.58, 0.09]
    frames = [
        observation([0.0, 0.6, 0.2], handle=handle),
        observation([0.0, 0.6, 0.36], handle=handle),
        observation([0.0, 0.5, 0.33], handle=handle),
        observation([0.0, 0.5, 0.14], handle=handle),
        observation([0.0, 0.56, 0.12], handle=[0.0, 0.6, 0.09]),
    ]
    assert phases_of("drawer-close", frames) == ["rise", "approach", "align", "contact", "push"]


def test_changes_are_the_first_frames_of_new_phases() -> None:
    assert phase_changes(["approach", "approach", "align", "hold", "hold"]) == [(2, "align"), (3, "hold")]
    assert phase_changes(["approach"]) == []


def test_lifting_a_puck_passes_through_what_can_be_seen(observation: Callable[..., Observation]) -> None:
    """The puck drops by 2 cm when the episode begins, then lies still until it is lifted."""
    rest = [0.0, 0.7, 0.02]
    frames = [observation([0.0, 0.55 + 0.01 * i, 0.12], puck=[0.0, 0.7, 0.04 - 0.005 * min(i, 4)]) for i in range(15)]
    frames += [observation([0.0, 0.7, 0.12 - 0.01 * i], puck=rest) for i in range(8)]
    frames += [observation([0.0, 0.7, 0.05], 1 - 0.05 * i, puck=rest) for i in range(10)]
    frames += [observation([0.0, 0.7, 0.05 + 0.01 * i], 0.5, puck=[0.0, 0.7, 0.02 + 0.01 * i]) for i in range(10)]
    frames += [observation([0.0, 0.7 + 0.01 * i, 0.15], 0.5, puck=[0.0, 0.7 + 0.01 * i, 0.12]) for i in range(10)]
    frames += [observation([0.0, 0.8, 0.15], 0.5, success=True, puck=[0.0, 0.8, 0.12])] * 3
    changes = {phase: frame for frame, phase in phase_changes(phases_of("pick-place", frames))}
    assert list(changes) == ["descend", "grasp", "lift", "carry", "hold"]
    expected = {"descend": 15, "grasp": 23, "lift": 34, "carry": 43, "hold": 53}
    assert all(abs(changes[phase] - frame) <= 2 for phase, frame in expected.items()), changes


def test_what_is_not_seen_is_passed_over_but_where_a_skill_is_strict(observation: Callable[..., Observation]) -> None:
    still = [observation([0.0, 0.6, 0.2], puck=[0.0, 0.7, 0.02]) for _ in range(5)]
    solved = [observation([0.0, 0.6, 0.2], puck=[0.0, 0.7, 0.02], success=True)]
    assert phases_of("pick-place", still + solved) == ["approach"] * 5 + ["hold"]
    far = [observation([0.0, 0.6, 0.2], ball=[0.0, 0.9, 0.2], success=True)]
    assert phases_of("reach", far) == ["approach"]
