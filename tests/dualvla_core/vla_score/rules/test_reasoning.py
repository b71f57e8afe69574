from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.rules.reasoning import reasoning_measures

MakeTrajectory = Callable[..., Trajectory]
Told = Callable[..., dict[str, float]]


@pytest.fixture
def told(trajectory: MakeTrajectory) -> Told:
    """The measures of texts said every ten steps, while the gripper goes 1 m to the right of a ball that stays."""

    def measure(*texts: str, success: bool = True) -> dict[str, float]:
        steps = max(1, 10 * len(texts))
        positions = np.outer(np.linspace(0, 1, steps + 1), [1, 0, 0])
        said = [(10 * number, text) for number, text in enumerate(texts)]
        made = trajectory(positions, said, success=success)
        objects = {"gripper": positions, "ball": np.tile([0.5, 0.5, 0], (steps + 1, 1))}
        return {each.name: each.value for each in reasoning_measures(replace(made, objects=objects))}

    return measure


def test_good_reasoning_is_perfect(told: Told) -> None:
    texts = ("Go to the white handle of the drawer.", "Lower the fingers onto the drawer handle.", "Pull the drawer.")
    assert told(*texts) == {"form": 1, "order": 1, "change": 1, "coherence": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Handle.",
        "Go to the drawer handle",
        "go go go go go go go go go go.",
        "Open the drawer. Open the drawer. Open the drawer. Open the drawer.",
        "Go to the drawer \ufffd\ufffd.",
        "Go to the drawer \x00 now.",
        " ".join(["word"] * 121) + ".",
    ],
)
def test_malformed_texts_are_noticed(told: Told, text: str) -> None:
    assert told(text)["form"] == 0


def test_a_text_of_several_lines_is_well_formed(told: Told) -> None:
    assert told("Go above the drawer.\nLower the fingers onto it.")["form"] == 1


def test_places_are_checked_when_they_are_stated(told: Told) -> None:
    assert told("Go to the red ball, ahead and to the right.")["truth"] == 1
    assert told("Go to the red ball, ahead and to the left.")["truth"] == 0.5
    # ten steps later the gripper has passed the ball
    late = told("The table is brown.", "The wall is grey.", "Go to the red ball, to the left.")
    assert late["truth"] == 1


def test_nothing_is_true_or_false_about_a_thing_that_is_not_there(told: Told) -> None:
    assert "truth" not in told("Go to the white handle, ahead.")


def test_done_is_true_only_at_the_end_of_a_solved_episode(told: Told, trajectory: MakeTrajectory) -> None:
    assert told("The task is done.")["truth"] == 0
    positions = np.outer(np.linspace(0, 1, 21), [1, 0, 0])
    for success, step, expected in ((True, 19, 1), (False, 19, 0), (True, 10, 0)):
        made = trajectory(positions, [(step, "The task is done.")], success=success)
        assert {each.name: each.value for each in reasoning_measures(made)}["truth"] == expected


def test_subtasks_follow_one_another(told: Told) -> None:
    steps = ["Go to the handle.", "Lower the hand.", "Touch the handle.", "Pull the handle."]
    assert told(*steps)["order"] == 1
    assert told(*reversed(steps))["order"] == 0
    assert told(steps[1], steps[0], steps[2])["order"] == 0.5
    assert "order" not in told(steps[0])


def test_reasoning_that_never_changes_is_noticed(told: Told) -> None:
    assert told(*["Pull the drawer."] * 5)["change"] == 0
    assert "change" not in told("Pull the drawer.", "Pull the drawer.")  # said twice within one phase: no fault
    assert told("Go to the drawer.", "Pull the drawer.", "Pull the drawer.")["change"] == 0.5


def test_coherence_is_what_consecutive_texts_share(told: Told) -> None:
    # {pull, the, drawer} and {pull, the, handle} share 2 of 4 words
    assert told("Pull the drawer.", "Pull the handle.")["coherence"] == 1
    assert told("Pull the drawer.", "Nothing in common here.")["coherence"] == 0
    # one of nine
    few = told("Pull the green drawer out.", "Then open gripper, the end.")["coherence"]
    assert few == pytest.approx(1 / 9 / 0.2)


def test_silence_gives_no_measure(told: Told) -> None:
    assert told() == {}
