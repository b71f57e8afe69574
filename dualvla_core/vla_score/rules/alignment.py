"""Whether what is said is what is done: the stated motion, sub-task and thing against what the hand then does.

A stated motion is of its moment. A stated sub-task stands until another one is stated, and counts by the steps it
stands: a policy that speaks on key-frames alone is judged like one that repeats itself on every frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.simulation.scenes import SCENES
from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.rules.goal import GOALS
from dualvla_core.vla_score.rules.measure import Measure, clip
from dualvla_core.vla_score.rules.motion import Motion
from dualvla_core.vla_score.rules.statements import StatedMotion, SubTask, stated_motions, sub_tasks, things_named

_ALONG = 0.8  # cosine between stated and made motion that counts as full agreement: words are coarse
_CLOSING = 0.3  # distance gained per way that counts as approaching
_LONGEST = 3  # windows that a stated motion is followed for, at most


def alignment_measures(trajectory: Trajectory, motion: Motion, scales: RuleJudgeConfig) -> list[Measure]:
    """Agreement of motions, sub-tasks and things; none where no text says what is done: naming a thing is no deed."""
    doing = [*_motions(trajectory, motion, scales), *_sub_tasks(trajectory, motion, scales)]
    return [*doing, *_things(trajectory)] if doing else []


def _motions(trajectory: Trajectory, motion: Motion, scales: RuleJudgeConfig) -> list[Measure]:
    """Stated motions against those made until the next text, over the texts that state one."""
    agreements = []
    steps = [said.step for said in trajectory.reasoning]
    for said, until in zip(trajectory.reasoning, [*steps[1:], trajectory.steps], strict=False):
        stated = stated_motions(said.text)
        if stated and said.step < trajectory.steps:
            window = int(np.clip(until - said.step, scales.motion_window, _LONGEST * scales.motion_window))
            agreements.append(np.mean([_agreement(each, motion, said.step, window, scales) for each in stated]))
    if not agreements:
        return []
    why = f"{len(agreements)} of {len(trajectory.reasoning)} texts state a motion that can be checked"
    return [Measure("motion", float(np.mean(agreements)), 0.4, why)]


def _agreement(stated: StatedMotion, motion: Motion, step: int, window: int, scales: RuleJudgeConfig) -> float:
    """How far one stated motion was made, in [0, 1]: the hand's part and, if fingers are named, theirs."""
    end = min(step + window, len(motion.positions) - 1)
    moved = motion.positions[end] - motion.positions[step]
    distance = float(np.linalg.norm(moved))
    if not stated.direction.any():
        hand = clip(2 - distance / scales.still)
    elif distance < scales.still:
        hand = 0.0
    else:
        hand = clip(float(stated.direction @ moved) / distance / _ALONG)
    if stated.fingers is None:
        return hand
    change = float(motion.opening[end] - motion.opening[step])
    return (hand + clip((change if stated.fingers == "open" else -change) / scales.fingers)) / 2


def _sub_tasks(trajectory: Trajectory, motion: Motion, scales: RuleJudgeConfig) -> list[Measure]:
    """Stated sub-tasks against the way until the next one: its direction, or whether it leads to the thing named.

    Each counts by the steps it stands.
    """
    stated = sub_tasks(trajectory.reasoning)
    ends = [each.step for each in stated[1:]] + [trajectory.steps]
    found = [
        (_pursuit(each, end, trajectory, motion, scales), end - each.step)
        for each, end in zip(stated, ends, strict=False)
    ]
    known = [(value, steps) for value, steps in found if value is not None]
    if not known:
        return []
    values, weights = zip(*known, strict=True)
    why = f"{len(known)} of {len(stated)} stated sub-tasks can be told from the way of the hand"
    return [Measure("sub-task", float(np.average(values, weights=weights)), 0.2, why)]


def _pursuit(
    stated: SubTask, end: int, trajectory: Trajectory, motion: Motion, scales: RuleJudgeConfig
) -> float | None:
    moved = motion.positions[end] - motion.positions[stated.step]
    distance = float(np.linalg.norm(moved))
    if distance < scales.still:
        return None
    if stated.direction is not None:
        return clip(float(stated.direction @ moved) / distance / _ALONG)
    tracks = trajectory.objects
    if stated.thing is None or stated.thing not in tracks or "gripper" not in tracks:
        return None
    gaps = np.linalg.norm(tracks[stated.thing] - tracks["gripper"], axis=1)
    return clip(float(gaps[stated.step] - gaps[end]) / distance / _CLOSING)


def _things(trajectory: Trajectory) -> list[Measure]:
    """Texts that speak of things, and speak of the scene's own alone."""
    named = [things for said in trajectory.reasoning if (things := things_named(said.text))]
    if not named or trajectory.task not in GOALS:
        return []
    own = {thing.name for thing in SCENES[trajectory.task].things}
    right = sum(things <= own for things in named)
    return [Measure("object", right / len(named), 0.4, _tell(named, own, right))]


def _tell(named: Sequence[set[str]], own: set[str], right: int) -> str:
    foreign = sorted({thing for things in named for thing in things - own})
    others = f"; others name {', '.join(foreign)}" if foreign else ""
    return f"{right} of {len(named)} texts that name things name those of the scene{others}"
