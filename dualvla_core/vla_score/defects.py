"""Planted defects: what is broken in a good trajectory, how badly, and which dimensions must notice.

Defined before the rule judge was tuned, and kept apart from it: a defect knows nothing of how it will be judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from dualvla_core.evaluation.trajectory import Frame, Trajectory, Utterance
from dualvla_core.simulation.scenes import SCENES, Scene, scene_of
from dualvla_core.vla_score.judge import Dimension
from dualvla_core.vla_score.rules.goal import GOALS

Column: TypeAlias = Dimension | Literal["success"]
"""A column of the table: a judged dimension, or B of Eq. 8."""

COLUMNS: tuple[Column, ...] = ("reasoning", "action", "intention", "alignment", "success")

Plant: TypeAlias = Callable[[Trajectory, float, np.random.Generator], Trajectory]

_TURNS = 3  # places at which the hand goes back
_STEPS_BEFORE_SUCCESS = 4  # that a failed episode lacks at least (control steps)


@dataclass(frozen=True)
class Defect:
    """One way to break a trajectory."""

    name: str
    lowers: frozenset[Column]
    """The columns it must lower; all others should stay nearly what they are."""
    severities: tuple[float, ...]
    meaning: str
    """What the severity counts."""
    plant: Plant | None
    """None where the defective trajectory was recorded in the simulator beside the clean one."""


def shuffle_reasoning(trajectory: Trajectory, severity: float, random: np.random.Generator) -> Trajectory:
    """A share of the texts is said at one another's moments; none of them stays where it was."""
    said = trajectory.reasoning
    if len(said) < 2:
        return trajectory
    circle = random.permutation(len(said))[: max(2, round(severity * len(said)))]
    moved = dict(zip(circle.tolist(), np.roll(circle, 1).tolist(), strict=True))
    texts = [said[moved.get(index, index)].text for index in range(len(said))]
    return replace(trajectory, reasoning=_said([each.step for each in said], texts))


def name_another_object(trajectory: Trajectory, severity: float, random: np.random.Generator) -> Trajectory:
    """A share of the texts speaks of the things of another scene."""
    said = trajectory.reasoning
    scene = scene_of(trajectory.task)
    foreign = _foreign(scene, random)
    chosen = set(random.permutation(len(said))[: round(severity * len(said))].tolist())
    texts = [_renamed(each.text, scene, foreign) if i in chosen else each.text for i, each in enumerate(said)]
    return replace(trajectory, reasoning=_said([each.step for each in said], texts))


def go_back_and_forth(trajectory: Trajectory, severity: float, _random: np.random.Generator) -> Trajectory:
    """At three places the hand goes back the way it came, and comes again; ``severity`` of the episode is undone.

    The turns lie right before a text (where there is one), so that what is said stays true of where the hand gets to.
    """
    back = round(severity * trajectory.steps / _TURNS)
    wanted = [round(trajectory.steps * (turn + 1) / (_TURNS + 1)) for turn in range(_TURNS)]
    moments = [said.step for said in trajectory.reasoning if said.step > 0]
    turns = {_nearest(moments, place) if moments else place for place in wanted}
    index: list[int] = []
    arrived: dict[int, int] = {}
    for step in range(trajectory.steps + 1):
        index.append(step)
        if step in turns:
            first = max(0, step - back)
            index += [*range(step - 1, first - 1, -1), *range(first + 1, step + 1)]
        arrived[step] = len(index) - 1
    return _retimed(trajectory, index, arrived)


def wait_first(trajectory: Trajectory, severity: float, _random: np.random.Generator) -> Trajectory:
    """Nothing happens and nothing is said for ``severity`` times the length of the episode; then it begins."""
    idle = round(severity * trajectory.steps)
    index = [0] * idle + list(range(trajectory.steps + 1))
    return _retimed(trajectory, index, {step: step + idle for step in range(trajectory.steps + 1)})


def fail(trajectory: Trajectory, severity: float, _random: np.random.Generator) -> Trajectory:
    """The episode ends without success, ``severity`` of it before its end."""
    kept = trajectory.steps - max(_STEPS_BEFORE_SUCCESS, round(severity * trajectory.steps))
    kept = max(kept, 1)
    index = list(range(kept + 1))
    return replace(_retimed(trajectory, index, {step: step for step in range(kept)}), success=False)


DEFECTS: tuple[Defect, ...] = (
    Defect(
        "shuffled reasoning",
        frozenset({"reasoning", "alignment"}),
        (0.3, 0.6, 1.0),
        "share of the texts that trade places",
        shuffle_reasoning,
    ),
    Defect(
        "another object",
        frozenset({"alignment"}),
        (0.3, 0.6, 1.0),
        "share of the texts that speak of things of another scene",
        name_another_object,
    ),
    Defect(
        "jitter",
        frozenset({"action"}),
        (0.25, 0.5, 1.0),
        "standard deviation of the noise on actions, of full scale",
        None,
    ),
    Defect(
        "reversed motion",
        frozenset({"action", "intention"}),
        (0.25, 0.5, 1.0),
        "share of the way that is undone and done again",
        go_back_and_forth,
    ),
    Defect(
        "idle prefix", frozenset({"action"}), (0.25, 0.5, 1.0), "idle time before the start, of the length", wait_first
    ),
    Defect("failed episode", frozenset({"success"}), (0.05, 0.1, 0.2), "share cut off before the end", fail),
)
"""Every planted defect; `lowers` is what a judge is held to."""


@dataclass(frozen=True)
class Planted:
    """A defective trajectory beside the clean one it was made of."""

    defect: str
    severity: float
    clean: Trajectory
    defective: Trajectory


def plant_all(clean: Sequence[Trajectory], jittered: Mapping[float, Sequence[Trajectory]]) -> Iterator[Planted]:
    """Every defect at every severity in every clean trajectory; jitter from the runs recorded with it."""
    for number, defect in enumerate(DEFECTS):
        severities = defect.severities if defect.plant else tuple(jittered)
        for severity in severities:
            for index, trajectory in enumerate(clean):
                if defect.plant is None:
                    broken = jittered[severity][index]
                else:
                    # the stream leaves the severity out, so that a worse case contains the better one's draw
                    random = np.random.default_rng([number, trajectory.seed])
                    broken = defect.plant(trajectory, severity, random)
                yield Planted(defect.name, severity, trajectory, broken)


def _nearest(steps: Sequence[int], place: int) -> int:
    return min(steps, key=lambda step: abs(step - place))


def _said(steps: Sequence[int], texts: Sequence[str]) -> tuple[Utterance, ...]:
    return tuple(Utterance(step, text) for step, text in zip(steps, texts, strict=True))


def _foreign(scene: Scene, random: np.random.Generator) -> Scene:
    """A scene of those that the rules know, which shares no thing with this one."""
    own = {thing.name for thing in scene.things}
    others = [SCENES[task] for task in GOALS if own.isdisjoint(thing.name for thing in SCENES[task].things)]
    return others[int(random.integers(len(others)))]


def _renamed(text: str, scene: Scene, foreign: Scene) -> str:
    for thing, other in ((scene.target, foreign.target), (scene.other, foreign.other)):
        text = re.sub(rf"\b({re.escape(thing.phrase)}|{re.escape(thing.name)})\b", other.phrase, text)
    return text


def _retimed(trajectory: Trajectory, index: Sequence[int], arrived: Mapping[int, int]) -> Trajectory:
    """The trajectory whose moments are those of ``index`` (steps of the original), one control step apart.

    ``arrived`` says at which new step each original one with a text is spoken of; texts of other steps are dropped.
    """
    steps = np.array(index)
    moves = np.diff(steps)
    actions = trajectory.actions[np.clip(np.minimum(steps[:-1], steps[1:]), 0, trajectory.steps - 1)].copy()
    actions[:, :3] *= moves[:, None]  # backwards where time ran backwards, none where it stood still
    words = {arrived[said.step]: said.text for said in trajectory.reasoning if said.step in arrived}
    return replace(
        trajectory,
        states=trajectory.states[steps],
        actions=actions,
        objects={name: track[steps] for name, track in trajectory.objects.items()},
        reasoning=tuple(Utterance(step, text) for step, text in words.items()),
        frames=_resampled(trajectory.frames, index),
    )


def _resampled(frames: Sequence[Frame], index: Sequence[int]) -> tuple[Frame, ...]:
    """As many images as before, evenly spread over the new time, each the nearest one to its original moment."""
    if not frames:
        return ()
    known = np.array([frame.step for frame in frames])
    moments = np.unique(np.linspace(0, len(index) - 1, len(frames)).round().astype(int))
    return tuple(Frame(int(m), frames[int(np.abs(known - index[m]).argmin())].image) for m in moments)
