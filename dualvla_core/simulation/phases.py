"""The true phases of an expert's demonstration, read off the simulator's state.

The scripted experts switch targets by distances between hand and object; the same distances tell here which target is
pursued. Phases follow one another in a fixed order per task and are never re-entered: an expert that hovers around a
threshold does not flicker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from dualvla_core.simulation.environment import Observation, Vector
from dualvla_core.simulation.scenes import scene_of

Offset: TypeAlias = tuple[float, float, float]


@dataclass(frozen=True)
class Moment:
    """What the entry conditions look at; positions ``[3]`` in m."""

    hand: Vector
    target: Vector
    """The thing the hand goes to."""
    target_start: Vector
    success: bool


Condition: TypeAlias = Callable[[Moment], bool]


def _above(offset: Offset, radius: float) -> Condition:
    """The hand is within ``radius`` (m) of the target plus ``offset``, seen from above."""
    return lambda now: bool(np.linalg.norm((now.hand - now.target - offset)[:2]) <= radius)


def _within(radius: float) -> Condition:
    """The hand is within ``radius`` (m) of the target."""
    return lambda now: bool(np.linalg.norm(now.hand - now.target) <= radius)


def _level(offset: Offset, tolerance: float) -> Condition:
    """The hand is as high as the target plus ``offset``, to ``tolerance`` (m)."""
    return lambda now: bool(abs((now.hand - now.target - offset)[2]) <= tolerance)


def _moved(distance: float) -> Condition:
    """The target has left its first position by ``distance`` (m)."""
    return lambda now: bool(np.linalg.norm(now.target - now.target_start) >= distance)


def _higher(distance: float) -> Condition:
    """The hand is ``distance`` (m) higher than the target."""
    return lambda now: bool((now.hand - now.target)[2] >= distance)


def _in_front(now: Moment) -> bool:
    """The hand is nearer to the robot's base than the target."""
    return bool(now.hand[1] <= now.target[1])


def _solved(now: Moment) -> bool:
    return now.success


_PHASES: dict[str, tuple[tuple[str, Condition], ...]] = {
    "reach": (("align", _within(0.12)), ("hold", _solved)),
    "drawer-open": (
        ("align", _above((0, 0, -0.02), 0.06)),
        ("contact", _level((0, 0, -0.02), 0.04)),
        ("pull", _moved(0.005)),
        ("hold", _solved),
    ),
    "door-open": (
        ("align", _above((-0.05, 0, 0), 0.12)),
        ("contact", _level((-0.05, 0, 0), 0.04)),
        ("pull", _moved(0.01)),
        ("hold", _solved),
    ),
    "button-press-topdown": (("align", _above((0, 0, 0), 0.04)), ("press", _moved(0.003)), ("hold", _solved)),
    "drawer-close": (
        ("approach", _higher(0.26)),
        ("align", _in_front),
        ("contact", _level((0, 0, 0.03), 0.04)),
        ("push", _moved(0.015)),  # the drawer settles by several mm on its own
        ("hold", _solved),
    ),
    "window-open": (
        ("align", _above((-0.03, -0.03, 0), 0.04)),
        ("contact", _level((0, 0, -0.08), 0.02)),
        ("slide", _moved(0.005)),
        ("hold", _solved),
    ),
}
_FIRST = {"drawer-close": "rise"}  # this expert first lifts the hand over the open drawer


def phases_of(task: str, frames: Sequence[Observation]) -> list[str]:
    """The phase of each frame of a demonstration.

    Names: rise, approach, align, contact, pull or push or press or slide (the object moves), hold (solved). At each
    frame the phase advances for as long as the next one's entry condition holds, so a phase may be passed over.
    """
    target = scene_of(task).target.name
    start = frames[0].objects[target]
    phase, ahead = _FIRST.get(task, "approach"), list(_PHASES[task])
    phases = []
    for frame in frames:
        now = Moment(frame.state[:3].astype(np.float64), frame.objects[target], start, frame.success)
        while ahead and ahead[0][1](now):
            phase = ahead.pop(0)[0]
        phases.append(phase)
    return phases


def phase_changes(phases: Sequence[str]) -> list[tuple[int, str]]:
    """``(frame_index, phase)`` of the first frame of each new phase; frame 0 is not listed."""
    return [(index, phase) for index, phase in enumerate(phases) if index and phase != phases[index - 1]]
