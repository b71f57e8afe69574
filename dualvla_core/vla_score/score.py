"""DualVLA Eq. 8 and its aggregation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import REASONING_POLICIES, PolicyType
from dualvla_core.vla_score.judge import Verdict


def trajectory_score(verdict: Verdict, policy_type: PolicyType, success: bool) -> float:
    """The VLA Score of one trajectory in [0, 1] (DualVLA Eq. 8).

    ``(R + A I) / 2 * RA * B`` for a policy that reasons and ``A I RA B`` for one that does not, with the verdict's
    numbers divided by 10 and B = 1 for success, 0 for failure. A specialist says nothing, so its RA is 1. The branch
    follows the policy's recorded type: a reasoning policy that stays silent is not a specialist.

    Raises:
        ArtifactError: when a reasoning policy was judged without reasoning or alignment.
    """
    action, intention, outcome = verdict.action / 10, verdict.intention / 10, float(success)
    if policy_type not in REASONING_POLICIES:
        return action * intention * outcome
    if verdict.reasoning is None or verdict.alignment is None:
        raise ArtifactError(
            f"A {policy_type} policy was judged without reasoning or alignment, which Eq. 8 needs; judge it again."
        )
    return (verdict.reasoning / 10 + action * intention) / 2 * (verdict.alignment / 10) * outcome


@dataclass(frozen=True)
class VlaScore:
    """Scores of many trajectories, on the paper's scale of 0 to 100."""

    macro: float
    """The mean over tasks of their means: every task counts alike. This is the VLA Score."""
    micro: float
    """The mean over all trajectories."""
    tasks: Mapping[str, float]


def aggregate(scores: Iterable[tuple[str, float]]) -> VlaScore:
    """Average ``(task, score in [0, 1])`` per task and then over tasks; at least one is needed."""
    by_task: dict[str, list[float]] = {}
    for task, score in scores:
        by_task.setdefault(task, []).append(score)
    tasks = {task: 100 * sum(found) / len(found) for task, found in by_task.items()}
    count = sum(len(found) for found in by_task.values())
    return VlaScore(
        macro=sum(tasks.values()) / len(tasks),
        micro=100 * sum(sum(found) for found in by_task.values()) / count,
        tasks=tasks,
    )
