"""The part of ``report.json`` that holds what the policies were measured to do.

Shares lie in [0, 1] and carry their 95 % interval; a measure that was not taken is null, and `PolicyResult.absent` says
why.
"""

from __future__ import annotations

from typing import Literal, Self, TypeAlias

from pydantic import Field

from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.params import Params, Summary

Measure: TypeAlias = Literal["success", "accuracy", "open_loop", "score"]


class Share(Params):
    """A share of ``trials`` with its 95 % Wilson interval; of the mean of judged numbers in [0, 1], a wide one."""

    value: float = Field(description="The share.")
    low: float = Field(description="Lower end of its interval.")
    high: float = Field(description="Upper end of its interval.")
    successes: float = Field(description="What was counted; the sum, where numbers in [0, 1] were.")
    trials: int = Field(description="Of how many (count).")

    @classmethod
    def of(cls, successes: float, trials: int) -> Self:
        """The share of at least one trial."""
        low, high = wilson_interval(successes, trials)
        return cls(value=successes / trials, low=low, high=high, successes=successes, trials=trials)


class NamedShare(Params):
    """The share of one task or one category of questions."""

    name: str = Field(description="Task or category.")
    share: Share = Field(description="Its share.")


class OpenLoop(Params):
    """How far a policy's actions are from those of held-out demonstrations."""

    error: float = Field(description="Mean absolute error in units of half the 1 % to 99 % range of each dimension.")
    episodes: int = Field(description="Held-out episodes (count).")
    decisions: int = Field(description="Decisions asked for (count).")


class BenchmarkScore(Params):
    """One multimodal benchmark, on 0 to 100."""

    benchmark: str = Field(description="Its name.")
    items: int = Field(description="Questions (count).")
    missing: int = Field(description="Questions without a score (count).")
    unparsed: int = Field(description="Answers in which no option was found (count).")
    score: float | None = Field(description="The score; null while items are missing.")
    low: float | None = Field(description="Lower end of its 95 % interval.")
    high: float | None = Field(description="Upper end of its 95 % interval.")


class RuleScore(Params):
    """The VLA Score (Eq. 8) by the offline rule judge, a proxy for the paper's judges; means over trajectories."""

    score: Share = Field(description="Eq. 8.")
    reasoning: Share | None = Field(description="R; null for a policy that does not reason.")
    action: Share = Field(description="A.")
    intention: Share = Field(description="I.")
    alignment: Share | None = Field(description="RA; null for a policy that does not reason.")
    success: Share = Field(description="B.")
    trajectories: int = Field(description="Trajectories judged (count).")
    planned: int = Field(description="Trajectories the protocol plans (count).")
    decisions: int = Field(description="Decisions the policy took in them (count).")
    spoken: int = Field(description="Decisions at which it said something (count).")


class PolicyResult(Params):
    """One trained policy and all that was measured of it."""

    name: str = Field(description="Name within the run.")
    policy_type: PolicyType = Field(description="What its checkpoint says it is.")
    checkpoint: str = Field(description="Key of its checkpoint.")
    training: Summary = Field(description="What its training says: parameters, samples, last losses.")
    steps: int = Field(description="Optimizer steps of its own training (count).")
    seed: int = Field(description="Seed of its training.")
    success: Share | None = Field(None, description="Closed-loop success.")
    tasks: tuple[NamedShare, ...] = Field((), description="Closed-loop success per task.")
    protocol: EvaluationProtocol | None = Field(None, description="How success was measured.")
    accuracy: Share | None = Field(None, description="Right answers to held-out questions.")
    categories: tuple[NamedShare, ...] = Field((), description="Right answers per category.")
    benchmarks: tuple[BenchmarkScore, ...] = Field((), description="Multimodal benchmarks.")
    mean_of_eight: float | None = Field(None, description="Mean of the paper's eight; null where one has no score.")
    open_loop: OpenLoop | None = Field(None, description="Open-loop action error.")
    score: RuleScore | None = Field(None, description="VLA Score of the rule judge.")
    absent: dict[Measure, str] = Field({}, description="Why a measure was not taken.")


class Finding(Params):
    """What the intervals say about two policies."""

    measure: Measure = Field(description="By which measure.")
    first: str = Field(description="One policy.")
    second: str = Field(description="The other.")
    verdict: Literal["above", "below", "perhaps above", "perhaps below", "not told apart", "not comparable"] = Field(
        description="Where the first stands: for sure if the intervals are disjoint, perhaps if only the difference is."
    )
    sentence: str = Field(description="The same in words and numbers.")


class Results(Params):
    """Everything measured of the policies of a run."""

    policies: tuple[PolicyResult, ...] = Field(description="In the order of training.")
    findings: tuple[Finding, ...] = Field(description="What the intervals support.")
