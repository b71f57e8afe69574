"""The instruction of a demonstration and the embodied reasoning that goes with its frames.

Three styles, from slow to fast: one ``plan`` an episode, one ``subtask`` a phase, and the next ``motion`` of the hand.
All of it follows from the simulator's ground truth and the seed, so a demonstration always gets the same text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dualvla_core.episodes.lerobot_writer import LanguageRow
from dualvla_core.episodes.motion import settled
from dualvla_core.simulation.environment import Observation, Vector
from dualvla_core.simulation.phases import phase_changes
from dualvla_core.simulation.scenes import scene_of
from dualvla_core.simulation.suites import METAWORLD, Suite, suite_of
from dualvla_core.simulation.wording import WORDINGS

_STILL = 0.006  # m within the window; below, the hand counts as still
_SHARE = 0.5  # of the largest component; smaller ones go unmentioned
_FINGERS = 0.12  # change of the gripper opening within the window that is mentioned
_APART = 0.03  # m; smaller offsets are not mentioned
_AXES = (("left", "right"), ("back", "forward"), ("down", "up"))

_Option = TypeVar("_Option")


def pick(options: Sequence[_Option], *key: str | int) -> _Option:
    """One of the options, chosen by the SHA-256 of the key: the same on every machine and in every version."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return options[int.from_bytes(digest[:8], "big") % len(options)]


def instruction_of(task: str, seed: int) -> str:
    """What the robot is told; several wordings a task, chosen by the seed; a benchmark's own episodes keep its own."""
    instructions = WORDINGS[scene_of(task).task].instructions
    return instructions[0] if seed in suite_of(task).official_seeds else pick(instructions, task, seed, "instruction")


def narrate(
    task: str, seed: int, frames: Sequence[Observation], phases: Sequence[str], suite: Suite
) -> list[LanguageRow]:
    """The reasoning of a demonstration as persistent rows ordered by time (s), plans first, then subtasks, motions.

    Args:
        task: name of the recorded task.
        seed: of the initial condition; chooses among wordings.
        frames: the T moments of the demonstration.
        phases: the phase of each of them.
        suite: the simulator the task belongs to.
    """
    wording = WORDINGS[task]
    words = _words(task, frames[0])
    spoken = [(0, 0, "plan", pick(wording.plans, task, seed, "plan").format(**words))]
    for index, phase in [(0, phases[0]), *phase_changes(phases)]:
        sentence = pick(wording.subtasks[phase], task, seed, phase)
        spoken.append((index, 1, "subtask", sentence.format(**_words(task, frames[index]))))
    motions = motion_texts(suite.in_robot_axes(np.array([frame.state for frame in frames])), suite)
    for index, motion in enumerate(motions):
        if index == 0 or motion != motions[index - 1]:
            spoken.append((index, 2, "motion", motion))
    return [LanguageRow(style, text, index / suite.control_hz) for index, _, style, text in sorted(spoken)]


def motion_texts(states: npt.NDArray[np.float32], suite: Suite = METAWORLD) -> list[str]:
    """The next motion at each frame of ``states`` (see `Suite.in_robot_axes`), in the robot's own directions.

    A text is the displacement over the suite's window ahead: up to two directions, and the fingers if they move.
    A new text replaces the old one once it holds for several frames on end, as a person would annotate it.
    """
    last = len(states) - 1
    raw = [_motion(states[min(index + suite.motion_window, last)] - states[index]) for index in range(len(states))]
    return settled(raw, suite.shortest_motion)


def _motion(change: npt.NDArray[np.float32]) -> str:
    fingers = "opening" if change[-1] > _FINGERS else "closing" if change[-1] < -_FINGERS else ""
    step = change[:3]
    if np.linalg.norm(step) < _STILL:
        return {"": "Hold still.", "opening": "Open the gripper.", "closing": "Close the gripper."}[fingers]
    ranked = sorted(range(3), key=lambda axis: -abs(step[axis]))[:2]
    axes = sorted(axis for axis in ranked if abs(step[axis]) >= _SHARE * abs(step).max())
    direction = " and ".join(_AXES[axis][int(step[axis] > 0)] for axis in axes)
    return f"Move {direction}, {fingers} the gripper." if fingers else f"Move {direction}."


def _words(task: str, frame: Observation) -> dict[str, str]:
    scene = scene_of(task)
    x, y, z = frame.objects[scene.subject]
    near, far = suite_of(task).depths
    return {
        "target": scene.target.phrase,
        "other": scene.other.phrase,
        "side": "on the left" if x < -_APART else "on the right" if x > _APART else "in the middle",
        "depth": "near the robot" if y < near else "far back" if y > far else "halfway back",
        "height": "low" if z < 0.12 else "high" if z > 0.22 else "at medium height",
        "where": _where(frame.objects[scene.target.name] - frame.objects["gripper"]),
        "beyond": _where(frame.objects[scene.other.name] - frame.objects["gripper"]),
    }


def _where(offset: Vector) -> str:
    """Where something at ``offset`` ``[3]`` (m) from the gripper is, such as ``ahead, to the right and below``."""
    names = (("to the left", "to the right"), ("behind", "ahead"), ("below", "above"))
    parts = [names[axis][int(offset[axis] > 0)] for axis in (1, 0, 2) if abs(offset[axis]) > _APART]
    if not parts:
        return "right at the fingers"
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]
