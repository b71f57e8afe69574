from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from dualvla_core.simulation.cues import Cue, Moment, goes_along, heads

MOMENT = Moment(
    hand=np.array([0.10, 0.60, 0.20]),
    velocity=np.zeros(3),
    closing=0.0,
    target=np.array([0.13, 0.64, 0.10]),  # 5 cm to the side, 10 cm below
    target_start=np.array([0.13, 0.61, 0.06]),  # it has come 3 cm forward and 4 cm up: 5 cm
    target_lowest=0.03,
    target_velocity=np.array([0.0, 0.003, 0.004]),  # 5 mm a frame
    success=False,
)


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        (Cue(above=0.0501), Cue(above=0.0499)),
        (Cue(offset=(-0.03, 0, 0), above=0.0401), Cue(offset=(-0.03, 0, 0), above=0.0399)),
        (Cue(within=0.1119), Cue(within=0.1117)),  # sqrt(0.03² + 0.04² + 0.1²) = 0.1118
        (Cue(level=0.1001), Cue(level=0.0999)),
        (Cue(offset=(0, 0, 0.08), level=0.0201), Cue(offset=(0, 0, 0.08), level=0.0199)),
        (Cue(higher=0.0999), Cue(higher=0.1001)),
        (Cue(in_front=True), Cue(offset=(0, -0.05, 0), in_front=True)),
        (Cue(moved=0.0499), Cue(moved=0.0501)),
        (Cue(lifted=0.0699), Cue(lifted=0.0701)),
        (Cue(moving=0.005), Cue(moving=0.0051)),
        (Cue(moved=0.04, moving=0.004), Cue(moved=0.06, moving=0.004)),  # both must hold
        (Cue(), Cue(solved=True)),
    ],
)
def test_a_cue_compares_places(holds: Cue, fails: Cue) -> None:
    assert holds.holds(MOMENT)
    assert not fails.holds(MOMENT)


def test_a_cue_sees_closing_fingers_and_success() -> None:
    closing = dataclasses.replace(MOMENT, closing=0.02, success=True)
    assert Cue(closing=0.02).holds(closing)
    assert not Cue(closing=0.021).holds(closing)
    assert not Cue(closing=0.02).holds(MOMENT)
    assert Cue(solved=True).holds(closing)


@pytest.mark.parametrize(
    ("velocity", "headings"),
    [
        ((0, 0, -0.01), {"down"}),
        ((0.003, 0.004, 0.0051), {"up"}),
        ((0.003, 0.004, 0.005), {"across", "forward"}),  # as fast across as up
        ((0.004, 0.003, 0), {"across"}),  # more to the right than forward
        ((0, -0.01, 0), {"across"}),
        ((0, 0.001, -0.001), set()),  # all but still
    ],
)
def test_a_hand_heads_where_it_mainly_goes(velocity: tuple[float, float, float], headings: set[str]) -> None:
    found = {way for way in ("up", "down", "across", "forward") if heads(np.array(velocity), way)}
    assert found == headings
    moving = dataclasses.replace(MOMENT, velocity=np.array(velocity))
    assert Cue(heading="down").holds(moving) == ("down" in headings)


@pytest.mark.parametrize(
    ("thing", "hand", "along"),
    [
        ((0, 0, 0.01), (0, 0, 0.01), True),
        ((0, 0, 0.0071), (0, 0, 0.01), True),  # slips by 29 % of the hand's speed
        ((0, 0, 0.0069), (0, 0, 0.01), False),
        ((0, 0.004, 0.01), (0, 0, 0.01), False),
        ((0, 0, 0), (0, 0, -0.01), False),  # the hand comes down to a thing that lies still
        ((0, 0, 0.001), (0, 0, 0.001), False),  # the hand is all but still
    ],
)
def test_a_held_thing_goes_where_the_hand_goes(
    thing: tuple[float, float, float], hand: tuple[float, float, float], along: bool
) -> None:
    assert goes_along(np.array(thing), np.array(hand)) == along
    moment = dataclasses.replace(MOMENT, target_velocity=np.array(thing), velocity=np.array(hand))
    assert Cue(held=True).holds(moment) == along


def test_an_unknown_condition_is_refused() -> None:
    with pytest.raises(ValidationError):
        Cue.model_validate({"over": 0.1})
