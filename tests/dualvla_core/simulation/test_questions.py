from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pytest

from dualvla_core.simulation.questions import CATEGORIES, Facts, ask
from dualvla_core.simulation.scenes import SCENES


def facts(
    task: str = "drawer-open", gripper: float = 1.0, moved: float = 0.0, success: bool = False, **hand: float
) -> Facts:
    """Handle (or ball) left of, above and nearer than the drawer (or puck); the hand where it is wanted."""
    target, other = SCENES[task].things
    pixels = {
        "gripper": [hand.get("column", 0.2), hand.get("row", 0.5), hand.get("depth", 1.0)],
        target.name: [0.5, 0.4, 1.0],
        other.name: [0.6, 0.5, 1.2],
    }
    positions = {"gripper": [hand.get("x", 0.1), 0.6, 0.2], target.name: [0.0, 0.7, 0.1], other.name: [0.02, 0.9, 0.1]}
    return Facts(
        scene=SCENES[task],
        pixels=_arrays(pixels),
        positions=_arrays(positions),
        gripper=gripper,
        moved=moved,
        success=success,
    )


def _arrays(rows: Mapping[str, list[float]]) -> dict[str, np.ndarray]:
    return {name: np.array(row) for name, row in rows.items()}


def answers(category: str, found: Facts) -> dict[str, str]:
    return {question.text: question.answer for question in CATEGORIES[category](found)}


def test_things_that_are_there_are_told_from_others() -> None:
    found = answers("presence", facts())
    assert found["Can you see a drawer?"] == "yes"
    assert found["Can you see a handle?"] == "yes"
    assert found["Can you see a button?"] == "no"


def test_colours_are_those_of_the_scene() -> None:
    found = answers("colour", facts())
    assert found["What colour is the handle?"] == "white"
    assert found["What colour is the drawer?"] == "green"
    assert answers("colour", facts("door-open"))["What colour is the handle?"] == "grey"


def test_relations_in_the_picture_follow_pixels_and_depth() -> None:
    found = answers("relation", facts(column=0.2, row=0.5, depth=1.1))
    assert found["In the picture, is the gripper to the left or to the right of the handle?"] == "left"
    assert found["In the picture, is the handle to the left or to the right of the gripper?"] == "right"
    assert found["In the picture, is the gripper higher or lower than the handle?"] == "lower"
    assert found["Is the gripper nearer to the camera or farther from it than the handle?"] == "farther"
    assert found["Is the gripper nearer to the camera or farther from it than the drawer?"] == "nearer"
    assert not any("higher or lower" in text and "gripper" in text and "drawer" in text for text in found)


def test_relations_as_the_robot_sees_them_follow_its_own_left_and_right() -> None:
    found = answers("relation", facts(x=0.1))
    assert found["As the robot sees it, is the gripper to the left or to the right of the handle?"] == "right"
    near = answers("relation", facts(x=0.02))
    assert "As the robot sees it, is the gripper to the left or to the right of the handle?" not in near


def test_counts_are_of_things_in_the_picture() -> None:
    found = answers("count", facts())
    assert found["Count the handles."] == "one"
    assert found["Count the balls."] == "zero"
    assert found["Count the fingers of the robot's hand."] == "two"
    assert found["How many separate things are there besides the robot?"] == "one"
    assert answers("count", facts("reach"))["How many separate things are there besides the robot?"] == "two"


def test_a_ball_behind_the_hand_is_not_asked_about() -> None:
    covered = facts("reach", column=0.5, row=0.42)
    assert "Can you see a ball?" in answers("presence", facts("reach"))
    assert "Can you see a ball?" not in answers("presence", covered)
    assert "What colour is the ball?" not in answers("colour", covered)
    assert "Count the balls." not in answers("count", covered)


@pytest.mark.parametrize(("opening", "answer"), [(0.9, {"open"}), (0.1, {"closed"}), (0.5, set())])
def test_a_half_open_gripper_is_not_asked_about(opening: float, answer: set[str]) -> None:
    assert set(answers("gripper", facts(gripper=opening)).values()) == answer


@pytest.mark.parametrize(
    ("moved", "success", "answer"), [(0.0, False, {"closed"}), (0.1, False, set()), (0.18, True, {"open"})]
)
def test_a_half_open_drawer_is_not_asked_about(moved: float, success: bool, answer: set[str]) -> None:
    assert set(answers("state", facts(moved=moved, success=success)).values()) == answer


def test_the_task_is_asked_while_it_is_being_done() -> None:
    assert set(answers("task", facts()).values()) == {"opening the drawer"}
    assert answers("task", facts(success=True)) == {}


def test_an_episode_gets_as_many_questions_as_wanted_always_the_same() -> None:
    frames = [facts(gripper=1 - i / 30, moved=max(0, i - 20) / 60, success=i > 28) for i in range(31)]
    asked = ask(frames, 9, "drawer-open/1")
    assert len(asked) == 9
    assert [index for index, _ in asked] == sorted(index for index, _ in asked)
    assert all(question in CATEGORIES[question.category](frames[index]) for index, question in asked)
    assert asked == ask(frames, 9, "drawer-open/1")
    assert ask(frames, 0, "drawer-open/1") == []


def test_answers_are_balanced_where_the_episode_allows_it() -> None:
    frames = [facts(gripper=1.0 if i < 2 else 0.0) for i in range(30)]  # closed nearly all the time
    asked = [question for key in range(300) for _, question in ask(frames, 4, str(key))]
    for category in ("gripper", "presence"):
        counts = Counter(question.answer for question in asked if question.category == category)
        assert min(counts.values()) > 0.8 * max(counts.values())


def test_an_expert_that_never_closes_the_gripper_passes_the_turn() -> None:
    asked = [question for key in range(60) for _, question in ask([facts()] * 20, 4, str(key))]
    turns = Counter(question.category for question in asked)
    assert len(asked) == 240
    assert turns["gripper"] < 0.75 * turns["presence"]
