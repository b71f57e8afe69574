"""What judges look at and what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median_low
from typing import Literal, Protocol, TypeAlias

from pydantic import Field

from dualvla_core.errors import UserError
from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.params import Params

Dimension: TypeAlias = Literal["reasoning", "action", "intention", "alignment"]

DIMENSIONS: tuple[Dimension, ...] = ("reasoning", "action", "intention", "alignment")
"""What is judged; specialists are judged for action and intention alone."""


class MissingVerdictError(UserError):
    """A verdict that could not be obtained; the trajectory counts as not judged, never as bad."""


class Evidence(Params):
    """One aspect of a dimension, with the numbers behind it."""

    dimension: Dimension = Field(description="What it speaks for.")
    name: str = Field(description="The aspect.")
    value: float = Field(description="1 at best, 0 at worst.")
    weight: float = Field(description="Its weight in the dimension.")
    why: str = Field(description="The numbers behind the value, with units.")


class Verdict(Params):
    """A judge's integers for one trajectory: 10 excellent, 5 acceptable, 0 poor or no evidence (DualVLA 3.3)."""

    action: int = Field(ge=0, le=10, description="Whether the actions are coherent and smooth.")
    intention: int = Field(ge=0, le=10, description="Whether they contribute to the task.")
    reasoning: int | None = Field(
        ge=0, le=10, description="Whether the reasoning is right and useful; specialists: none."
    )
    alignment: int | None = Field(ge=0, le=10, description="Whether what is said is what is done; specialists: none.")
    thought: str = Field(description="Why these numbers.")
    evidence: tuple[Evidence, ...] = Field(default=(), description="What the numbers are made of, where that is known.")


class Judgement(Params):
    """Everything a judge answered about one trajectory."""

    verdicts: tuple[Verdict, ...] = Field(min_length=1, description="One per repeat, in the order of asking.")
    prompt_tokens: int = Field(default=0, ge=0, description="Tokens sent, all requests together.")
    completion_tokens: int = Field(default=0, ge=0, description="Tokens received, all requests together.")

    @property
    def verdict(self) -> Verdict:
        """The (lower) median of each dimension over the repeats, with the thought of the repeat nearest to it."""
        medians = {name: _median([getattr(each, name) for each in self.verdicts]) for name in DIMENSIONS}
        nearest = min(self.verdicts, key=lambda each: _distance(each, medians))
        return nearest.model_copy(update=dict(medians.items()))

    @property
    def disagreement(self) -> float:
        """Mean absolute distance of the repeats from their median, in points, over repeats and dimensions."""
        medians = {name: getattr(self.verdict, name) for name in DIMENSIONS}
        judged = sum(value is not None for value in medians.values())
        return sum(_distance(each, medians) for each in self.verdicts) / (judged * len(self.verdicts))


class JudgeIdentity(Params):
    """Whose verdicts these are: verdicts of different identities are never mixed."""

    judge: str = Field(description="The judge's name in the configuration.")
    model: str = Field(description="The model that judges, or the version of the rules.")
    prompt: str = Field(description="Digest of the prompt; empty where there is none.")
    settings: str = Field(description="Digest of everything else that changes verdicts.")

    def __str__(self) -> str:
        prompt = f", prompt {self.prompt}" if self.prompt else ""
        return f"{self.judge} ({self.model}{prompt}, settings {self.settings})"


class Judge(Protocol):
    """Judges one trajectory at a time; may be called from several threads."""

    @property
    def identity(self) -> JudgeIdentity:
        """Whose verdicts these are."""

    def judge(self, trajectory: Trajectory) -> Judgement:
        """The verdicts; reasoning and alignment are judged where the trajectory's policy type is one that reasons.

        Raises:
            MissingVerdictError: when no verdict could be obtained.
        """


def _median(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return median_low(known) if known else None


def _distance(verdict: Verdict, medians: dict[Dimension, int | None]) -> int:
    pairs = [(getattr(verdict, name), middle) for name, middle in medians.items()]
    return sum(abs(value - middle) for value, middle in pairs if value is not None and middle is not None)
