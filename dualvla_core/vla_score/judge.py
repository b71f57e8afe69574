"""What judges look at and what they answer."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.params import Params


class Verdict(Params):
    """A judge's integers for one trajectory: 10 excellent, 5 acceptable, 0 poor or no evidence (DualVLA 3.3)."""

    action: int = Field(ge=0, le=10, description="Whether the actions are coherent and smooth.")
    intention: int = Field(ge=0, le=10, description="Whether they contribute to the task.")
    reasoning: int | None = Field(
        ge=0, le=10, description="Whether the reasoning is right and useful; specialists: none."
    )
    alignment: int | None = Field(ge=0, le=10, description="Whether what is said is what is done; specialists: none.")
    thought: str = Field(description="Why these numbers.")


class Judge(Protocol):
    """Judges one trajectory at a time; the same trajectory always gets the same verdict."""

    def judge(self, trajectory: Trajectory) -> Verdict:
        """The verdict; reasoning and alignment are judged where the trajectory's policy type is one that reasons."""
