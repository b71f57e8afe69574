from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.rules.goal import goal_measures

MakeTrajectory = Callable[..., Trajectory]
SCALES = RuleJudgeConfig()
BALL = np.array([0.3, 0, 0])


def reaching(trajectory: MakeTrajectory, hand: np.ndarray, puck: np.ndarray | None = None) -> dict[str, float]:
    count = len(hand)
    objects = {"gripper": hand, "ball": np.tile(BALL, (count, 1))}
    if puck is not None:
        objects["puck"] = np.tile(puck, (count, 1))
    made = replace(trajectory(hand), objects=objects)
    return {each.name: each.value for each in goal_measures(made, SCALES)}


def along(*stops: float, steps: int = 60) -> np.ndarray:
    """The hand goes through places on the way to the ball (m)."""
    parts = [np.linspace(a, b, steps, endpoint=False) for a, b in pairwise(stops)]
    return np.outer(np.append(np.concatenate(parts), stops[-1]), [1, 0, 0])


def test_going_to_the_ball_is_perfect(trajectory: MakeTrajectory) -> None:
    found = reaching(trajectory, along(0, 0.3), np.array([0.1, 0.2, 0]))
    assert found == pytest.approx({"useful motion": 1, "progress": 1, "approach": 1, "right thing": 1})


def test_the_wrong_thing_is_noticed(trajectory: MakeTrajectory) -> None:
    found = reaching(trajectory, along(0, -0.2), np.array([-0.25, 0, 0]))
    assert found["right thing"] == 0
    assert found["useful motion"] == found["progress"] == found["approach"] == 0


def test_half_way_is_half_the_approach(trajectory: MakeTrajectory) -> None:
    found = reaching(trajectory, along(0, 0.125))
    assert found["approach"] == pytest.approx(0.5)  # 0.125 of the 0.25 m to within 5 cm
    assert found["progress"] == pytest.approx(0.5)


def test_ways_that_are_undone_are_not_useful(trajectory: MakeTrajectory) -> None:
    found = reaching(trajectory, along(0, 0.2, 0.1, 0.3))
    share = 0.4 / 0.5
    assert found["useful motion"] == pytest.approx((share - 0.5) / 0.5, abs=0.02)  # turns are smoothed
    assert found["progress"] == 1


def test_moving_the_thing_counts_as_progress(trajectory: MakeTrajectory) -> None:
    steps = 61
    handle = np.outer(np.linspace(0, 1, steps), [0, -0.16, 0])
    made = trajectory(handle, task="drawer-open")
    opened = {"gripper": handle, "handle": handle}
    found = {each.name: each for each in goal_measures(replace(made, objects=opened), SCALES)}
    assert found["progress"].value == 1
    assert found["useful motion"].value == 1
    pushed = {"gripper": -handle, "handle": -handle}
    found = {each.name: each for each in goal_measures(replace(made, objects=pushed), SCALES)}
    assert found["progress"].value == 0
    assert found["useful motion"].value == 0


@pytest.mark.parametrize("task", ["reach", "assembly"])
def test_nothing_is_measured_where_nothing_is_known(trajectory: MakeTrajectory, task: str) -> None:
    made = trajectory(along(0, 0.3), task=task)
    assert goal_measures(made, SCALES) == []
    unknown = replace(made, objects={"gripper": along(0, 0.3), "peg": along(0, 0.3)})
    assert goal_measures(unknown, SCALES) == []
