"""Whether the actions contribute to the task, from where the simulator says the things are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.simulation.scenes import SCENES, Scene
from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.rules.measure import Measure, clip

_AT = 0.05  # m between finger tips and a thing that the hand has reached; the success radius of reach
_AIMLESS = 0.5  # share of useful motion that a random walk has

GOALS: Mapping[str, tuple[float, float, float]] = {
    "reach": (0, 0, 0),
    "drawer-open": (0, -0.16, 0),
    "door-open": (-0.415, -0.28, 0),
    "button-press-topdown": (0, 0, -0.07),
    "drawer-close": (0, 0.12, 0),
    "window-open": (0.195, 0, 0),
}
"""How far a task's target has moved when it is solved (m): medians over scripted experts.

The rules know these tasks, and no others."""


def goal_measures(trajectory: Trajectory, scales: RuleJudgeConfig) -> list[Measure]:
    """Useful motion, progress, approach and the right thing; none where the task or its things are unknown."""
    tracks = trajectory.objects
    if trajectory.task not in GOALS:
        return []
    scene = SCENES[trajectory.task]
    if "gripper" not in tracks or scene.target.name not in tracks:
        return []
    gaps = np.linalg.norm((tracks[scene.target.name] - tracks["gripper"]).astype(np.float64), axis=1)
    goal = np.array(GOALS[trajectory.task])
    done = _displacement(tracks[scene.target.name].astype(np.float64), goal)
    return [
        _useful(done - gaps, scales),
        _progress(done - gaps, float(gaps[0] + np.linalg.norm(goal)) - _AT),
        _approach(gaps),
        *_right_thing(trajectory, scene, float(gaps.min())),
    ]


def _displacement(track: npt.NDArray[np.float64], goal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far the target has moved towards its goal at each moment ``[T + 1]`` (m)."""
    length = np.linalg.norm(goal)
    return np.zeros(len(track)) if length == 0 else np.minimum((track - track[0]) @ (goal / length), length)


def _useful(potential: npt.NDArray[np.float64], scales: RuleJudgeConfig) -> Measure:
    """Of all change towards or away from the goal, the share that leads towards it; short wavering is no change."""
    kernel = np.ones(scales.motion_window) / scales.motion_window
    smooth = np.convolve(np.pad(potential, scales.motion_window // 2, "edge"), kernel, "valid")
    change = np.diff(smooth)
    total = float(np.abs(change).sum())
    share = float(change[change > 0].sum()) / total if total > 0 else 0.0
    value = clip((share - _AIMLESS) / (1 - _AIMLESS))
    return Measure("useful motion", value, 0.5, f"{share:.0%} of the way leads towards the goal")


def _progress(potential: npt.NDArray[np.float64], needed: float) -> Measure:
    gained = float(potential.max() - potential[0])
    return Measure("progress", clip(gained / needed), 0.2, f"{gained:.2f} of {needed:.2f} m to the goal")


def _approach(gaps: npt.NDArray[np.float64]) -> Measure:
    nearest = float(gaps.min())
    start = max(float(gaps[0]), _AT)
    value = 1.0 if nearest <= _AT else clip((start - nearest) / (start - _AT)) if start > _AT else 1.0
    return Measure("approach", value, 0.2, f"the hand comes within {nearest:.2f} m of the target")


def _right_thing(trajectory: Trajectory, scene: Scene, nearest: float) -> list[Measure]:
    """Whether the hand comes nearer to the target than to the other thing."""
    tracks = trajectory.objects
    if scene.other.name not in tracks:
        return []
    other = float(np.linalg.norm(tracks[scene.other.name] - tracks["gripper"], axis=1).min())
    why = f"{nearest:.2f} m to the {scene.target.name}, {other:.2f} m to the {scene.other.name}"
    return [Measure("right thing", float(nearest <= max(other, _AT)), 0.1, why)]
