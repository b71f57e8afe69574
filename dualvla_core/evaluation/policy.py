"""What evaluation asks of a policy, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, runtime_checkable

import numpy as np
import numpy.typing as npt

from dualvla_core.errors import UserError

PolicyType: TypeAlias = Literal["specialist", "generalist", "dualvla"]
"""Recorded in a checkpoint: a specialist only acts, a generalist and a DualVLA student also reason."""

REASONING_POLICIES: frozenset[PolicyType] = frozenset({"generalist", "dualvla"})


class PolicyError(UserError):
    """A policy that cannot be loaded, or whose decision cannot be carried out."""


class PolicyObservation(TypedDict):
    """What a policy sees at one moment."""

    images: Mapping[str, npt.NDArray[np.uint8]]
    """Camera name to ``[H, W, 3]`` RGB."""
    state: npt.NDArray[np.float32] | None
    """``[S]``, raw (not normalised); none for a robot without one."""


@dataclass(frozen=True)
class Decision:
    """What a policy wants to do next, and what it said about it."""

    actions: npt.NDArray[np.float32]
    """``[T, A]``, raw (not normalised), one row per control step from now on."""
    reasoning: str | None = None
    """The text it generated for this decision; none when it said nothing."""


class Policy(Protocol):
    """Decides from one moment to the next within an episode."""

    def reset(self, seed: int) -> None:
        """Begin an episode; whatever is random in it follows from ``seed`` alone, not from earlier episodes."""

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        """The decision for the present moment."""


@runtime_checkable
class BatchPolicy(Policy, Protocol):
    """A `Policy` that decides for several episodes in one pass; each has a policy of its own, made alike."""

    @staticmethod
    def act_together(
        policies: Sequence[Any], observations: Sequence[PolicyObservation], instructions: Sequence[str]
    ) -> list[Decision]:
        """What `Policy.act` of each decides, up to rounding: sums may be formed in another order."""


def act_together(
    policies: Sequence[Policy], observations: Sequence[PolicyObservation], instructions: Sequence[str]
) -> list[Decision]:
    """The decisions of several episodes: in one pass where their policies can, otherwise one after another."""
    if len(policies) > 1 and isinstance(policies[0], BatchPolicy):
        return policies[0].act_together(policies, observations, instructions)
    asked = zip(policies, observations, instructions, strict=True)
    return [policy.act(observation, instruction) for policy, observation, instruction in asked]


class Answerer(Protocol):
    """Answers visual questions, without sampling."""

    def answer(
        self, images: Sequence[Sequence[npt.NDArray[np.uint8]]], questions: Sequence[str], max_tokens: int
    ) -> list[str]:
        """One text of at most ``max_tokens`` tokens per question.

        Every question comes with equally many images, RGB ``[H, W, 3]``.
        """


def committed(decision: Decision, execute: int) -> Decision:
    """A decision with its first ``execute`` actions alone. Raises `PolicyError` for too few, or not finite ones."""
    actions = np.asarray(decision.actions, np.float32)
    if actions.ndim != 2 or len(actions) < execute:
        raise PolicyError(
            f"The policy returned actions of shape {list(actions.shape)}, expected {execute} rows or "
            "more, one action each; execute fewer actions per decision or predict longer chunks."
        )
    if not np.isfinite(actions).all():
        raise PolicyError("The policy returned actions that are not finite; look at its training losses.")
    return Decision(actions[:execute], decision.reasoning)
