"""Visual questions about third-person images, answered from the simulator's ground truth.

Two views are told apart by the wording: "in the picture" compares places in the image and distances to the camera,
"as the robot sees it" uses the robot's own left and right. Within a category the answer is chosen first and a fitting
question second, so that answers are balanced wherever an episode allows it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from dualvla_core.simulation.environment import Camera, Observation, Vector
from dualvla_core.simulation.narration import pick
from dualvla_core.simulation.scenes import SCENES, WIDOWX_SCENES, DemoTask, Scene

_OPEN, _CLOSED = 0.8, 0.2  # gripper openings beyond which it is called open or closed
_MARGIN = 0.04  # image sides; smaller distances in the image are not asked about
_DEPTH_MARGIN = 0.04  # m, along the camera's view and the robot's left and right alike
_SETTLED = 0.003  # m; below, the subject still counts as untouched
_SMALL = {"ball", "puck", "cube", "nut", "dial", "lock", "nail"}
_SMALL |= {"carrot", "green block", "yellow block", "spoon", "eggplant"}
_IRREGULAR = {"box", "shelf", "thermos"}  # whose plural takes another ending
_COVERED = 0.08  # image sides between the finger tips and a small thing
_CANDIDATE_FRAMES = 16
_NUMBERS = ("zero", "one", "two")


@dataclass(frozen=True)
class Facts:
    """What is true in one image."""

    scene: Scene
    pixels: Mapping[str, Vector]
    """Things and ``gripper`` to ``[3]``: column and row (image sides from the top left corner), depth (m)."""
    positions: Mapping[str, Vector]
    """The same to ``[3]`` in the robot's frame (m)."""
    gripper: float
    """Opening, 0 closed to 1 open."""
    moved: float
    """How far the target has moved (m)."""
    success: bool


@dataclass(frozen=True)
class Question:
    """A question about an image with its short answer."""

    category: str
    text: str
    answer: str


def facts_of(scene: Scene, camera: Camera, frame: Observation, first: Observation) -> Facts:
    """The facts of a frame; ``first`` is the first one of its episode."""
    target = scene.target.name
    return Facts(
        scene=scene,
        pixels={name: camera.project(position) for name, position in frame.objects.items()},
        positions=frame.objects,
        gripper=float(frame.state[-1]),
        moved=float(np.linalg.norm(frame.objects[target] - first.objects[target])),
        success=frame.success,
    )


def _wordings(category: str, templates: Sequence[str], answer: str, **words: str) -> list[Question]:
    return [Question(category, template.format(**words), answer) for template in templates]


def _hidden(facts: Facts) -> set[str]:
    """Small things that the hand may cover in this image; whether they can be seen is not asked."""
    hand = facts.pixels["gripper"]
    here = _SMALL & facts.pixels.keys()
    return {name for name in here if np.linalg.norm((facts.pixels[name] - hand)[:2]) < _COVERED}


def _names(scene: Scene) -> list[str]:
    """What the scenes of one simulator hold; the demo's scenes, which were recorded first, know only each other."""
    scenes = WIDOWX_SCENES if scene.task in WIDOWX_SCENES else SCENES
    tasks = get_args(DemoTask) if scene.task in get_args(DemoTask) else scenes
    return sorted({thing.name for task in tasks for thing in scenes[task].things})


def _presence(facts: Facts) -> list[Question]:
    there = {thing.name for thing in facts.scene.things}
    hidden = _hidden(facts)
    templates = ("Is there a {name} in the picture?", "Can you see a {name}?", "Does the picture show a {name}?")
    return [
        question
        for name in _names(facts.scene)
        if name not in hidden
        for question in _wordings("presence", templates, "yes" if name in there else "no", name=name)
    ]


def _colour(facts: Facts) -> list[Question]:
    templates = ("What colour is the {name}?", "Which colour does the {name} have?", "Name the colour of the {name}.")
    hidden = _hidden(facts)
    return [
        question
        for thing in facts.scene.things
        if thing.name not in hidden
        for question in _wordings("colour", templates, thing.colour, name=thing.name)
    ]


def _relation(facts: Facts) -> list[Question]:
    found: list[Question] = []
    names = ["gripper", *(thing.name for thing in facts.scene.things)]
    for a in names:
        for b in names:
            if a < b:
                found += _compare(facts, a, b) + _compare(facts, b, a)
    return found


def _compare(facts: Facts, a: str, b: str) -> list[Question]:
    """Questions whose subject is ``a``; with the names exchanged the answer turns to its opposite."""
    column, row, depth = facts.pixels[a] - facts.pixels[b]
    sideways = facts.positions[a][0] - facts.positions[b][0]
    found = []
    if abs(column) > _MARGIN:
        templates = (
            "In the picture, is the {a} to the left or to the right of the {b}?",
            "Looking at the picture, on which side of the {b} is the {a}: left or right?",
        )
        found += _wordings("relation", templates, "left" if column < 0 else "right", a=a, b=b)
    if abs(row) > _MARGIN:
        templates = (
            "In the picture, is the {a} higher or lower than the {b}?",
            "Does the {a} appear higher or lower in the picture than the {b}?",
        )
        found += _wordings("relation", templates, "higher" if row < 0 else "lower", a=a, b=b)
    if abs(depth) > _DEPTH_MARGIN:
        templates = (
            "Is the {a} nearer to the camera or farther from it than the {b}?",
            "Compared with the {b}, is the {a} nearer to the camera or farther away?",
        )
        found += _wordings("relation", templates, "nearer" if depth < 0 else "farther", a=a, b=b)
    if abs(sideways) > _DEPTH_MARGIN:
        templates = (
            "As the robot sees it, is the {a} to the left or to the right of the {b}?",
            "From the robot's own point of view, on which side of the {b} is the {a}: left or right?",
        )
        found += _wordings("relation", templates, "left" if sideways < 0 else "right", a=a, b=b)
    return found


def _count(facts: Facts) -> list[Question]:
    there = [thing.name for thing in facts.scene.things]
    templates = ("How many {name}s are in the picture?", "How many {name}s can you see?", "Count the {name}s.")
    hidden = _hidden(facts)
    found = [
        question
        for name in _names(facts.scene)
        if name not in _IRREGULAR and name not in hidden
        for question in _wordings("count", templates, _NUMBERS[there.count(name)], name=name)
    ]
    apart = (
        "How many separate things are there besides the robot?",
        "Apart from the robot, count the loose things.",
    )
    fingers = ("How many fingers does the gripper have?", "Count the fingers of the robot's hand.")
    found += _wordings("count", fingers, "two")
    return found if hidden else found + _wordings("count", apart, _NUMBERS[facts.scene.loose])


def _gripper(facts: Facts) -> list[Question]:
    if _CLOSED < facts.gripper < _OPEN:
        return []
    templates = ("Is the gripper open or closed?", "Are the fingers open or closed?", "What state is the gripper in?")
    return _wordings("gripper", templates, "open" if facts.gripper >= _OPEN else "closed")


def _task(facts: Facts) -> list[Question]:
    if facts.success:
        return []
    templates = ("What is the robot doing?", "Which task is the robot working on?", "What is the robot busy with?")
    return _wordings("task", templates, facts.scene.activity)


def _state(facts: Facts) -> list[Question]:
    if facts.scene.states is None or (facts.moved > _SETTLED and not facts.success):
        return []
    before, after = facts.scene.states
    templates = ("Is the {name} {one} or {two}?", "What state is the {name} in: {one} or {two}?")
    answer = after if facts.success else before
    one, two = sorted(facts.scene.states)
    return _wordings("state", templates, answer, name=facts.scene.subject, one=one, two=two)


CATEGORIES: Mapping[str, Callable[[Facts], list[Question]]] = {
    "presence": _presence,
    "colour": _colour,
    "relation": _relation,
    "count": _count,
    "gripper": _gripper,
    "task": _task,
    "state": _state,
}
"""All questions of a category that an image can answer, in every wording."""

_ANSWERS: Mapping[str, Sequence[str]] = {
    "presence": ("yes", "no"),
    "relation": ("left", "right", "higher", "lower", "nearer", "farther"),
    "count": _NUMBERS,
    "gripper": ("open", "closed"),
}
"""Answers drawn evenly over all tasks; the other categories draw evenly among what the episode allows."""


def ask(frames: Sequence[Facts], count: int, key: str) -> list[tuple[int, Question]]:
    """``count`` questions about an episode as ``(frame_index, question)``, in the order of the frames.

    Categories take turns, starting at a place the key chooses. Where the drawn answer is not to be had in the episode
    (an expert that never closes the gripper), its turn passes to the next category.

    Args:
        frames: facts of the T frames.
        count: how many questions.
        key: names the episode; everything is drawn from it.
    """
    categories = list(CATEGORIES)
    first = pick(range(len(categories)), key, "first")
    shown = np.unique(np.linspace(0, len(frames) - 1, _CANDIDATE_FRAMES).round().astype(int)).tolist()
    asked: list[tuple[int, Question]] = []
    turn = 0
    while len(asked) < count:
        category = categories[(first + turn) % len(categories)]
        by_answer: dict[str, list[tuple[int, Question]]] = {}
        for index in shown:
            for question in CATEGORIES[category](frames[index]):
                by_answer.setdefault(question.answer, []).append((index, question))
        answer = pick(_ANSWERS.get(category) or sorted(by_answer) or ("",), key, turn, "answer")
        if answer in by_answer:
            asked.append(pick(by_answer[answer], key, turn, "question"))
        turn += 1
    return sorted(asked, key=lambda found: found[0])
