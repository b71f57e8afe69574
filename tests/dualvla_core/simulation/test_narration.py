from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from dualvla_core.errors import ConfigError
from dualvla_core.simulation.environment import Observation
from dualvla_core.simulation.narration import instruction_of, motion_texts, narrate, pick
from dualvla_core.simulation.scenes import SCENES
from dualvla_core.simulation.suites import METAWORLD
from dualvla_core.simulation.wording import WORDINGS


def states(step: tuple[float, float, float], frames: int = 20, gripper: tuple[float, float] = (1, 1)) -> np.ndarray:
    path = np.zeros((frames, 7), np.float32)
    path[:, :3] = np.arange(frames)[:, None] * np.array(step)
    path[:, 6] = np.linspace(*gripper, frames)
    return path


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ((0.01, 0, 0), "Move right."),
        ((-0.01, 0, -0.008), "Move left and down."),
        ((0, -0.01, 0.006), "Move back and up."),
        ((0.004, 0.01, 0), "Move forward."),  # the smaller component is under half of the larger one
        ((0.008, 0.01, 0.009), "Move forward and up."),  # the two largest
        ((0, 0.0001, 0), "Hold still."),
    ],
)
def test_motion_is_told_in_the_directions_of_the_robot(step: tuple[float, float, float], text: str) -> None:
    assert motion_texts(states(step))[0] == text


def test_moving_fingers_are_told() -> None:
    assert motion_texts(states((0, 0, 0), gripper=(1, 0)))[0] == "Close the gripper."
    assert motion_texts(states((0, 0, 0.01), gripper=(0, 1)))[0] == "Move up, opening the gripper."


def test_a_short_motion_is_not_spoken() -> None:
    path = np.concatenate([states((0.01, 0, 0), 30), states((0.01, 0, 0), 30)])
    path[30:, :3] += path[29, :3]
    path[20:22, 2] = 0.05  # up and down again within two frames
    assert set(motion_texts(path)[: 30 - METAWORLD.motion_window]) == {"Move right."}


def test_a_lasting_change_is_spoken_when_it_begins() -> None:
    path = np.concatenate([states((0.01, 0, 0), 20), states((0, 0, 0.01), 30)])
    path[20:, 0] = path[19, 0]
    texts = motion_texts(path)
    assert texts[0] == "Move right."
    assert texts[-1] == "Move up."
    assert sum(a != b for a, b in pairwise(texts)) <= 2


def test_choices_follow_from_their_key_alone() -> None:
    options = ("a", "b", "c", "d", "e")
    # SHA-256("reach/1000/plan") begins 0xd208136746e6a802, which leaves 0 when divided by 5
    assert pick(options, "reach", 1000, "plan") == "a"
    assert {pick(options, "reach", seed) for seed in range(50)} == set(options)


@pytest.mark.parametrize("task", SCENES)
def test_each_task_has_several_wordings_that_all_occur(task: str) -> None:
    assert len(WORDINGS[task].instructions) >= 4
    assert {instruction_of(task, seed) for seed in range(100)} == set(WORDINGS[task].instructions)


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="no simulated task 'juggle'"):
        instruction_of("juggle", 0)


def test_a_demonstration_is_narrated_in_three_styles(observation: Callable[..., Observation]) -> None:
    ball, puck = [-0.08, 0.85, 0.1], [0.05, 0.6, 0.02]
    frames = [observation([0, 0.6 + 0.005 * i, 0.2], ball=ball, puck=puck) for i in range(40)]
    phases = ["approach"] * 30 + ["align"] * 10
    rows = narrate("reach", 7, frames, phases, METAWORLD)

    assert [row.timestamp for row in rows] == sorted(row.timestamp for row in rows)
    assert [row.style for row in rows[:3]] == ["plan", "subtask", "motion"]
    assert rows[2].content == "Move forward."
    plan, subtask = rows[0].content, rows[1].content
    assert all(words in plan for words in ("red ball", "low", "on the left", "halfway back"))
    assert "ahead, to the left and below" in subtask
    assert [(row.style, row.timestamp) for row in rows if row.style != "motion"] == [
        ("plan", 0),
        ("subtask", 0),
        ("subtask", 30 / 80),
    ]
    assert rows == narrate("reach", 7, frames, phases, METAWORLD)
