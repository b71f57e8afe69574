"""What evaluation asks of a policy, whatever it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypedDict

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


class Answerer(Protocol):
    """Answers visual questions, without sampling."""

    def answer(
        self, images: Sequence[Sequence[npt.NDArray[np.uint8]]], questions: Sequence[str], max_tokens: int
    ) -> list[str]:
        """One text of at most ``max_tokens`` tokens per question.

        Every question comes with equally many images, RGB ``[H, W, 3]``.
        """


class ChunkedPolicy:
    """A `Policy` that commits to the first ``execute`` actions of each decision of another."""

    def __init__(self, policy: Policy, execute: int) -> None:
        self._policy = policy
        self._execute = execute

    def reset(self, seed: int) -> None:
        """See `Policy.reset`."""
        self._policy.reset(seed)

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        """See `Policy.act`. Raises `PolicyError` for actions that are too few or not finite."""
        decision = self._policy.act(observation, instruction)
        actions = np.asarray(decision.actions, np.float32)
        if actions.ndim != 2 or len(actions) < self._execute:
            raise PolicyError(
                f"The policy returned actions of shape {list(actions.shape)}, expected {self._execute} rows or "
                "more, one action each; execute fewer actions per decision or predict longer chunks."
            )
        if not np.isfinite(actions).all():
            raise PolicyError("The policy returned actions that are not finite; look at its training losses.")
        return Decision(actions[: self._execute], decision.reasoning)
