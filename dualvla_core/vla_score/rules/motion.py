"""What the path of the hand tells about the quality of the actions, and of intention where no object is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.rules.measure import Measure, clip

_HARDLY = 0.001  # m; a shorter path is no motion that could be judged
_AIMLESS_HEADING = 0.5  # agreement with the heading that random actions reach
_AIMLESS_APPROACH = 0.5  # share of approaching steps that chance gives
_TURNED = -0.5  # cosine between the ways before and after, below which the hand has turned back
_FREE_FLIPS = 2  # changes between opening and closing that a grasp and a release need


@dataclass(frozen=True)
class Motion:
    """How the hand moved in an episode of T steps."""

    positions: npt.NDArray[np.float64]
    """``[T + 1, 3]`` (m)."""
    opening: npt.NDArray[np.float64]
    """Of the gripper ``[T + 1]``, 0 closed to 1 open."""

    @property
    def steps(self) -> npt.NDArray[np.float64]:
        """Displacements ``[T, 3]`` (m)."""
        return np.diff(self.positions, axis=0)

    @property
    def length(self) -> float:
        """Of the path (m)."""
        return float(np.linalg.norm(self.steps, axis=1).sum())

    @property
    def farthest(self) -> float:
        """The largest distance from the start (m)."""
        return float(np.linalg.norm(self.positions - self.positions[0], axis=1).max())

    @property
    def moves(self) -> bool:
        """Whether there is any motion to judge."""
        return self.length >= _HARDLY


def action_measures(motion: Motion, max_steps: int, scales: RuleJudgeConfig) -> list[Measure]:
    """Smoothness, reversals, activity, directness, time and grasping; none of them where the hand hardly moved."""
    if not motion.moves:
        return []
    return [
        _smoothness(motion, scales),
        _reversals(motion, scales),
        _activity(motion, scales),
        _directness(motion, scales),
        _time(len(motion.steps), max_steps),
        _grasping(motion, scales),
    ]


def course_measures(motion: Motion, scales: RuleJudgeConfig) -> list[Measure]:
    """Intention where no object is known: heading, final approach and reach; none where the hand hardly moved."""
    if not motion.moves:
        return []
    return [_heading(motion, scales), _approach(motion), _reach(motion, scales)]


def _smoothness(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    third = np.diff(motion.positions, n=3, axis=0)
    jerk = float(np.linalg.norm(third, axis=1).sum()) / motion.length
    value = 1 / (1 + (jerk / scales.half_jerk) ** 2)
    return Measure("smoothness", value, 0.35, f"jerk {jerk:.3f} per path length")


def _reversals(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    """Moments at which the hand goes back the way it came, counted once per turn."""
    window = scales.turn_window
    positions = motion.positions
    middle = np.arange(window, len(positions) - window)
    before = positions[middle] - positions[middle - window]
    after = positions[middle + window] - positions[middle]
    norms = np.linalg.norm(before, axis=1) * np.linalg.norm(after, axis=1)
    moving = (np.linalg.norm(before, axis=1) >= scales.still) & (np.linalg.norm(after, axis=1) >= scales.still)
    back = moving & ((before * after).sum(axis=1) <= _TURNED * norms)
    turns = int((np.diff(np.concatenate(([0], back.astype(int)))) == 1).sum())
    return Measure("reversals", 1 / (1 + turns / scales.half_reversals), 0.2, f"the hand turns back {turns} times")


def _activity(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    moved = np.linalg.norm(motion.steps, axis=1) >= scales.idle_distance
    active = moved | (np.abs(np.diff(motion.opening)) >= scales.idle_opening)
    share = float(active.mean())
    value = clip((share - scales.all_idle) / (1 - scales.all_idle))
    return Measure("activity", value, 0.25, f"{int((~active).sum())} of {len(active)} steps idle")


def _directness(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    value = clip(motion.farthest / motion.length / scales.direct_path)
    return Measure("directness", value, 0.05, f"{motion.farthest:.2f} m away on a path of {motion.length:.2f} m")


def _time(steps: int, max_steps: int) -> Measure:
    """Full marks up to half of the steps allowed, none when all are used."""
    return Measure("time", clip(2 * (1 - steps / max_steps)), 0.1, f"{steps} of {max_steps} steps")


def _grasping(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    """Grasp events: how often the fingers change between opening and closing."""
    change = np.diff(motion.opening)
    ways = np.sign(change[np.abs(change) >= scales.idle_opening])
    flips = int((np.diff(ways) != 0).sum())
    value = 1 / (1 + max(0, flips - _FREE_FLIPS) / scales.half_reversals)
    return Measure("grasping", value, 0.05, f"the fingers change their way {flips} times")


def _heading(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    """Agreement of each step with where the hand goes around it, by path length; a wavering hand has no heading."""
    positions, steps, window = motion.positions, motion.steps, scales.heading_window
    index = np.arange(len(steps))
    net = positions[np.minimum(index + window, len(steps))] - positions[np.maximum(index - window, 0)]
    norm = np.linalg.norm(net, axis=1)
    along = np.divide((steps * net).sum(axis=1), norm, out=np.zeros(len(steps)), where=norm > 0)
    agreement = float(along.sum()) / motion.length
    value = clip((agreement - _AIMLESS_HEADING) / (0.9 - _AIMLESS_HEADING))
    return Measure("heading", value, 0.4, f"steps follow their heading to {agreement:.2f}")


def _approach(motion: Motion) -> Measure:
    """Whether the last third of the motion closes in on where it ends."""
    last = motion.positions[len(motion.positions) * 2 // 3 :]
    closing = np.diff(np.linalg.norm(last - last[-1], axis=1)) < 0
    share = float(closing.mean()) if len(closing) else 0.0
    value = clip((share - _AIMLESS_APPROACH) / (1 - _AIMLESS_APPROACH))
    return Measure("final approach", value, 0.4, f"{share:.0%} of the last third's steps close in on its end")


def _reach(motion: Motion, scales: RuleJudgeConfig) -> Measure:
    return Measure("reach", clip(motion.farthest / scales.reach), 0.2, f"{motion.farthest:.2f} m from the start")
