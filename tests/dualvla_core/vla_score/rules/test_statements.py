from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.evaluation.trajectory import Utterance
from dualvla_core.simulation.wording import WORDINGS
from dualvla_core.vla_score.rules.goal import GOALS
from dualvla_core.vla_score.rules.statements import DONE, SubTask, stated_motions, sub_tasks, things_named

FILL = {"target": "white handle", "other": "brown window", "where": "ahead, to the right and below"}


@pytest.mark.parametrize(
    ("text", "direction", "fingers"),
    [
        ("Move left.", [-1, 0, 0], None),
        ("Move forward and up.", [0, 0.5**0.5, 0.5**0.5], None),
        ("Move right and down, closing the gripper.", [0.5**0.5, 0, -(0.5**0.5)], "close"),
        ("Move back, opening the gripper.", [0, -1, 0], "open"),
        ("Hold still.", [0, 0, 0], None),
        ("Open the gripper.", [0, 0, 0], "open"),
        ("Close the gripper.", [0, 0, 0], "close"),
        ("motion: Move up", [0, 0, 1], None),
    ],
)
def test_the_motions_of_the_narration_are_understood(text: str, direction: list[float], fingers: str | None) -> None:
    (stated,) = stated_motions(text)
    assert stated.direction == pytest.approx(np.array(direction))
    assert stated.fingers == fingers


def test_motions_are_found_among_other_sentences() -> None:
    text = "The drawer stands on the left; go above its handle. Lower the fingers. Move left and down."
    (stated,) = stated_motions(text)
    assert stated.direction == pytest.approx(np.array([-(0.5**0.5), 0, -(0.5**0.5)]))
    assert len(stated_motions("Move up. Close the gripper.")) == 2


def test_plans_and_subtasks_state_no_motion_that_could_be_checked() -> None:
    for wording in WORDINGS.values():
        for text in [*wording.plans, *(each for phase in wording.subtasks.values() for each in phase)]:
            assert stated_motions(text) == [], text


def one(text: str) -> SubTask:
    (found,) = sub_tasks([Utterance(0, text)])
    return found


def test_every_subtask_of_the_narration_has_its_stage() -> None:
    stages = {"rise": {0}, "approach": {0}, "align": {1}, "contact": {2}, "hold": {DONE}}
    stages |= {phase: {3} for phase in ("pull", "push", "press", "slide")}
    for task in GOALS:  # the rules know these tasks' words, and no others
        for phase, texts in WORDINGS[task].subtasks.items():
            for text in texts:
                assert one(f"subtask: {text.format(**FILL)}").stage in stages[phase], (task, text)


@pytest.mark.parametrize(
    ("text", "thing", "direction"),
    [
        ("Head for the red ball, ahead.", "ball", None),
        ("Lower the open fingers onto the white handle, to the right and below.", "handle", [0, 0, -1]),
        ("Slow down and centre the fingers on the red ball.", "ball", None),
        ("Pull the white handle back to open the green drawer.", "handle", [0, -1, 0]),
        ("Push the white handle forward to shut the green drawer.", "handle", [0, 1, 0]),
        ("Drag the grey handle back and to the left.", "handle", [-(0.5**0.5), -(0.5**0.5), 0]),
        ("Push the white handle to the right to open the brown window.", "handle", [1, 0, 0]),
        ("Push the red button down into the box.", "button", [0, 0, -1]),
        ("Rise above the open green drawer, closing the fingers.", "drawer", [0, 0, 1]),
    ],
)
def test_a_subtask_names_its_thing_and_implies_a_motion(text: str, thing: str, direction: list[float] | None) -> None:
    stated = one(text)
    assert stated.thing == thing
    if direction is None:
        assert stated.direction is None
    else:
        assert stated.direction == pytest.approx(np.array(direction))


def test_places_are_those_after_the_comma() -> None:
    where = one("Get over the left of the white handle, ahead, to the right and below.").where
    assert [each.tolist() for each in where] == [[0, 1, 0], [1, 0, 0], [0, 0, -1]]
    assert one("Move towards the red ball, which is above.").where[0].tolist() == [0, 0, 1]
    assert one("Bring the fingers behind the white handle.").where == ()


def test_a_subtask_in_force_is_not_said_anew() -> None:
    said = [
        Utterance(0, "subtask: Go to the red ball.\nmotion: Move up."),
        Utterance(6, "subtask: Go to the red ball.\nmotion: Move left."),
        Utterance(12, "motion: Move left."),
        Utterance(18, "subtask: Go to the red ball."),
    ]
    assert [each.step for each in sub_tasks(said)] == [0, 18]


def test_plans_are_no_subtasks() -> None:
    assert sub_tasks([Utterance(0, "plan: Go above the handle, down to its left.")]) == []
    assert sub_tasks([Utterance(0, "Go above the handle, then slide the window open.")]) == []
    assert sub_tasks([Utterance(0, "It rains.")]) == []


def test_things_are_words() -> None:
    assert things_named("The WHITE handle of the drawer, unboxed.") == {"handle", "drawer"}
