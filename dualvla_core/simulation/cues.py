"""What shows that a new phase of a demonstration has begun."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from pydantic import Field

from dualvla_core.params import Params
from dualvla_core.simulation.environment import Vector

Heading: TypeAlias = Literal["up", "down", "across", "forward"]

_STILL = 0.0015  # m a frame; a slower hand heads nowhere
_SLIP = 0.3  # of the hand's speed; what slips more is not held


@dataclass(frozen=True)
class Moment:
    """What cues look at; positions ``[3]`` in m."""

    hand: Vector
    velocity: Vector
    """Of the hand ``[3]`` (m a frame)."""
    closing: float
    """How much of their way the fingers close in a frame."""
    target: Vector
    """The thing the hand goes to."""
    target_start: Vector
    target_lowest: float
    """The least height it has had so far (m)."""
    target_velocity: Vector
    """m a frame ``[3]``"""
    success: bool


class Cue(Params):
    """Conditions on a moment; those that are set must hold together."""

    offset: tuple[float, float, float] = Field(
        (0, 0, 0), description="Added to the target's position where the hand's is compared with it (m)."
    )
    above: float | None = Field(None, description="The hand is this near to the target, seen from above (m).")
    within: float | None = Field(None, description="The hand is this near to the target (m).")
    level: float | None = Field(None, description="The hand is as high as the target, to this much (m).")
    higher: float | None = Field(None, description="The hand is this much higher than the target (m).")
    in_front: bool = Field(False, description="The hand is nearer to the robot's base than the target.")
    heading: Heading | None = Field(None, description="Where the hand mainly goes; forward is across as well.")
    closing: float | None = Field(None, description="The fingers close by this much of their way in a frame.")
    moved: float | None = Field(None, description="The target has left its first position by this much (m).")
    moving: float | None = Field(None, description="The target moves this fast (m a frame).")
    lifted: float | None = Field(None, description="The target is this much higher than it has been before (m).")
    held: bool = Field(False, description="The target goes where the hand goes.")
    solved: bool = Field(False, description="The task is solved.")

    def holds(self, now: Moment) -> bool:
        """Whether this is what ``now`` shows."""
        gap = now.hand - now.target - self.offset
        return (
            (self.above is None or bool(np.linalg.norm(gap[:2]) <= self.above))
            and (self.within is None or bool(np.linalg.norm(gap) <= self.within))
            and (self.level is None or bool(abs(gap[2]) <= self.level))
            and (self.higher is None or bool(gap[2] >= self.higher))
            and (not self.in_front or bool(gap[1] <= 0))
            and (self.heading is None or heads(now.velocity, self.heading))
            and (self.closing is None or now.closing >= self.closing)
            and (self.moved is None or bool(np.linalg.norm(now.target - now.target_start) >= self.moved))
            and (self.moving is None or bool(np.linalg.norm(now.target_velocity) >= self.moving))
            and (self.lifted is None or bool(now.target[2] - now.target_lowest >= self.lifted))
            and (not self.held or goes_along(now.target_velocity, now.velocity))
            and (not self.solved or now.success)
        )


def goes_along(thing: Vector, hand: Vector) -> bool:
    """Whether a thing of this velocity ``[3]`` (m a frame) goes along with a hand of that one, which is not still."""
    speed = np.linalg.norm(hand)
    return bool(speed >= _STILL and np.linalg.norm(thing - hand) <= _SLIP * speed)


def heads(velocity: Vector, heading: Heading) -> bool:
    """Whether a hand of this ``velocity`` ``[3]`` (m a frame) mainly goes there; one that is all but still does not."""
    across, up = float(np.linalg.norm(velocity[:2])), float(velocity[2])
    if max(across, abs(up)) < _STILL:
        return False
    if heading in {"up", "down"}:
        return (up if heading == "up" else -up) > across
    return across >= abs(up) and (heading == "across" or bool(velocity[1] > abs(velocity[0])))
