"""What the words of a transcript state that can be checked: motions, sub-tasks, places, completion, things."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dualvla_core.evaluation.trajectory import Utterance
from dualvla_core.simulation.scenes import SCENES
from dualvla_core.vla_score.rules.goal import GOALS

Vector: TypeAlias = npt.NDArray[np.float64]
Fingers: TypeAlias = Literal["open", "close"]

THINGS: frozenset[str] = frozenset(thing.name for task in GOALS for thing in SCENES[task].things)
"""Every thing of the scenes that the rules know; other nouns are not understood."""

DONE = 4
"""The stage of a sentence that says that the task is done."""

_AXES = {"left": (0, -1), "right": (0, 1), "back": (1, -1), "forward": (1, 1), "down": (2, -1), "up": (2, 1)}
_MOVE = re.compile(
    rf"move (?P<first>{'|'.join(_AXES)})(?: and (?P<second>{'|'.join(_AXES)}))?"
    r"(?:, (?P<fingers>opening|closing) the gripper)?"
)
_GRIP = re.compile(r"(?P<fingers>open|close) the gripper")
_FINGERS: dict[str, Fingers] = {"open": "open", "opening": "open", "close": "close", "closing": "close"}
_SENTENCE_ENDS = re.compile(r"[.;\n]")

_PLACES = {"to the left": "left", "to the right": "right", "behind": "back", "ahead": "forward", "below": "down"}
_PLACES["above"] = "up"
_PLACE = "|".join(_PLACES)
_WHERE = re.compile(rf", (?:which is )?(?P<where>(?:{_PLACE})(?:(?:, | and )(?:{_PLACE}))*)$")

_STAGES = (
    re.compile(r"(?:head for|move (?:towards|above|over|to)|get over|come|lift|rise|go (?:to|above)|reach)\b"),
    re.compile(r"(?:lower|go (?:straight )?down|drop|descend|slow down|cover)\b"),
    re.compile(r"(?:hook|press against|bring|touch|move forward until)\b"),
    re.compile(r"(?:pull|drag|swing|push|slide|press|keep pressing)\b"),
)
_COMPLETION = re.compile(r"task is done|nothing is left to do|is (?:open|closed|pressed), ")
_DIRECTIONS = (  # verbs and directions of sub-tasks; the first that is found counts for its axis
    (re.compile(r"\b(?:lower|descend|drop|go (?:straight )?down|(?:push|press|pressing)\b.* down)\b"), "down"),
    (re.compile(r"\b(?:rise|lift)\b"), "up"),
    (re.compile(r"^(?:pull|drag|draw|swing)\b.*(?:back|towards the base)|^pull\b"), "back"),
    (re.compile(r"\b(?:forward|away from the base)\b"), "forward"),
    (re.compile(r"^(?:swing|drag|slide|push)\b.*to the left"), "left"),
    (re.compile(r"^(?:swing|drag|slide|push)\b.*to the right"), "right"),
)


@dataclass(frozen=True)
class StatedMotion:
    """A motion that a text announces, in the vocabulary of `simulation.narration`."""

    direction: Vector
    """Unit vector ``[3]`` in the robot's frame (right, forward, up); zero where the hand is to keep its place."""
    fingers: Fingers | None


@dataclass(frozen=True)
class SubTask:
    """A sentence that says what is being done to which thing."""

    step: int
    """The control step at which it is first said."""
    stage: int
    """0 approach, 1 align, 2 contact, 3 act, `DONE`."""
    thing: str | None
    """The first thing it names."""
    direction: Vector | None
    """Unit vector ``[3]`` of the motion it implies; None where it implies none."""
    where: tuple[Vector, ...]
    """Where it says the thing is, as seen from the gripper: a unit vector per word."""


def stated_motions(text: str) -> list[StatedMotion]:
    """The sentences of a text that are motions: "Move left and down, closing the gripper.", "Hold still.", ..."""
    found = []
    for _, sentence in _sentences(text):
        move, grip = _MOVE.fullmatch(sentence), _GRIP.fullmatch(sentence)
        if move:
            found.append(StatedMotion(_sum(move["first"], move["second"]), _FINGERS.get(move["fingers"])))
        elif grip:
            found.append(StatedMotion(np.zeros(3), _FINGERS[grip["fingers"]]))
        elif sentence == "hold still":
            found.append(StatedMotion(np.zeros(3), None))
    return found


def sub_tasks(reasoning: Sequence[Utterance]) -> list[SubTask]:
    """The sub-tasks in the order in which they are first said; one that is still in force is not said anew."""
    found = []
    before: set[str] = set()
    for said in reasoning:
        sentences = [sentence for style, sentence in _sentences(said.text) if style != "plan"]
        found += [each for text in sentences if text not in before and (each := _sub_task(said.step, text))]
        before = set(sentences)
    return found


def things_named(text: str) -> set[str]:
    """The known things a text speaks of."""
    return set(re.findall(r"[a-z]+", text.lower())) & THINGS


def _sub_task(step: int, sentence: str) -> SubTask | None:
    if " then " in f" {sentence} " or _MOVE.fullmatch(sentence) or sentence.startswith("first "):
        return None  # a plan of several sub-tasks, or a mere motion
    where = _WHERE.search(sentence)
    core = sentence[: where.start()] if where else sentence
    verbs = (number for number, verb in enumerate(_STAGES) if verb.match(core))
    stage = DONE if _COMPLETION.search(sentence) else next(verbs, None)
    if stage is None:
        return None
    named = [word for word in re.findall(r"[a-z]+", core) if word in THINGS]
    directions = [word for pattern, word in _DIRECTIONS if pattern.search(core)] if stage < DONE else []
    words = re.findall(_PLACE, where["where"]) if where else []
    return SubTask(
        step=step,
        stage=stage,
        thing=named[0] if named else None,
        direction=_sum(*directions) if directions else None,
        where=tuple(_sum(_PLACES[word]) for word in words),
    )


def _sentences(text: str) -> list[tuple[str, str]]:
    """Style (empty without a label such as ``motion:``) and words of each sentence, lower-case."""
    found = []
    for line in text.lower().splitlines():
        label, colon, rest = line.partition(": ")
        style, content = (label, rest) if colon and " " not in label else ("", line)
        parts = [part.strip() for part in _SENTENCE_ENDS.split(content)]
        found += [(style, part.rpartition(":")[2].strip()) for part in parts if part]
    return found


def _sum(*words: str | None) -> Vector:
    vector = np.zeros(3)
    for word in words:
        if word is not None:
            axis, sign = _AXES[word]
            vector[axis] = sign
    return vector / np.linalg.norm(vector)
