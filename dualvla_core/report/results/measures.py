"""Reads what training and evaluation wrote into the numbers of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.overview import mean_of_eight
from dualvla_core.evaluation.benchmarks.tables import OVERVIEW, OVERVIEW_FILE
from dualvla_core.evaluation.policy import REASONING_POLICIES, PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol, read_protocol, success_rates
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE, STEPS, STEPS_FILE
from dualvla_core.evaluation.trajectory import read_rollouts
from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.measures import read_table
from dualvla_core.report.results.findings import findings
from dualvla_core.report.results.model import (
    BenchmarkScore,
    Measure,
    NamedShare,
    OpenLoop,
    PolicyResult,
    Results,
    RuleScore,
    Share,
)
from dualvla_core.vla_score.recorded import VERDICTS, VERDICTS_FILE

_POLICY_FILE = "config.json"


def measure_policies(policies: Sequence[TrainedPolicy], *, asked: bool) -> Results:
    """Every number of the results; ``asked`` says whether there are questions about images at all.

    Raises:
        ArtifactError: when a checkpoint or a table of a measure cannot be read.
    """
    measured = tuple(measure_policy(policy, asked=asked) for policy in policies)
    return Results(policies=measured, findings=findings(measured))


def measure_policy(policy: TrainedPolicy, *, asked: bool) -> PolicyResult:
    """One policy's numbers, and why some are not there. Raises as `measure_policies`."""
    policy_type = read_policy_type(policy.checkpoint)
    result = PolicyResult(
        name=policy.name,
        policy_type=policy_type,
        checkpoint=policy.key,
        training=policy.training,
        steps=policy.config.steps,
        seed=policy.config.seed,
        open_loop=_open_loop(policy),
        absent=_absent(policy, policy_type, asked=asked),
    )
    if policy.rollouts is not None:
        protocol = read_protocol(policy.rollouts)
        overall, *tasks = success_rates(protocol, read_rollouts(policy.rollouts)["success"].to_pylist())
        shares = tuple(
            NamedShare(name=rate.task or "", share=Share.of(rate.successes, rate.episodes)) for rate in tasks
        )
        success = Share.of(overall.successes, overall.episodes)
        result = result.model_copy(update={"success": success, "tasks": shares, "protocol": protocol})
        if policy.score is not None:
            score = _rule_score(policy.score, policy.rollouts, protocol)
            result = result.model_copy(update={"score": score})
    if policy.questions is not None:
        answers = read_table(policy.questions / ANSWERS_FILE, ANSWERS)
        accuracy = Share.of(pc.sum(_right(answers)).as_py(), len(answers))
        result = result.model_copy(update={"accuracy": accuracy, "categories": _categories(answers)})
    if policy.benchmarks is not None:
        rows = read_table(policy.benchmarks / OVERVIEW_FILE, OVERVIEW).to_pylist()
        scores = {row["benchmark"]: row["score"] for row in rows if row["score"] is not None}
        mean = mean_of_eight(scores) if scores.keys() >= CATALOGUE.keys() else None
        benchmarks = tuple(BenchmarkScore(**row) for row in rows)
        result = result.model_copy(update={"benchmarks": benchmarks, "mean_of_eight": mean})
    return result


def read_policy_type(checkpoint: Path) -> PolicyType:
    """What a checkpoint says its policy is. Raises `ArtifactError` where it says nothing."""
    try:
        return cast("PolicyType", json.loads((checkpoint / _POLICY_FILE).read_text(encoding="utf-8"))["policy_type"])
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{_POLICY_FILE} of {checkpoint.name!r} names no policy type; train it again.") from error


def _absent(policy: TrainedPolicy, policy_type: PolicyType, *, asked: bool) -> dict[Measure, str]:
    reasons: dict[Measure, str] = {}
    if policy.questions is None:
        silent = "trained to act without words, it is asked no questions"
        unasked = "it was not asked the held-out questions" if asked else "the demonstrations come with no questions"
        reasons["accuracy"] = silent if policy_type not in REASONING_POLICIES else unasked
    if policy.rollouts is None:
        reasons["success"] = "it was not played in closed loop, which needs the simulator of the demonstrations"
    if policy.score is None:
        reasons["score"] = "there are no scored rollouts of it"
    if policy.open_loop is None:
        reasons["open_loop"] = "it was not asked for actions on held-out episodes"
    return reasons


def _open_loop(policy: TrainedPolicy) -> OpenLoop | None:
    if policy.open_loop is None:
        return None
    error, episodes, decisions = (policy.open_loop[name] for name in ("normalised_error", "episodes", "decisions"))
    return OpenLoop(error=float(error), episodes=int(episodes), decisions=int(decisions))


def _right(answers: pa.Table) -> pa.ChunkedArray:
    return pc.equal(answers["score"], 1.0)


def _categories(answers: pa.Table) -> tuple[NamedShare, ...]:
    outcomes: dict[str, list[bool]] = {}
    for category, right in zip(answers["category"].to_pylist(), _right(answers).to_pylist(), strict=True):
        outcomes.setdefault(category, []).append(right)
    return tuple(
        NamedShare(name=name, share=Share.of(sum(outcomes[name]), len(outcomes[name]))) for name in sorted(outcomes)
    )


def _rule_score(score: Path, rollouts: Path, protocol: EvaluationProtocol) -> RuleScore:
    verdicts = read_table(score / VERDICTS_FILE, VERDICTS)
    steps = read_table(rollouts / STEPS_FILE, STEPS)
    decided = steps.filter(steps["replanned"])

    def mean(name: str, scale: float) -> Share | None:
        values = verdicts[name].to_pylist()
        return None if None in values else Share.of(sum(values) / scale, len(values))

    shares = {name: mean(name, 10) for name in ("reasoning", "action", "intention", "alignment")}
    shares |= {name: mean(name, 1) for name in ("score", "success")}
    return RuleScore.model_validate(
        {
            **shares,
            "trajectories": len(verdicts),
            "planned": len(protocol.episodes),
            "decisions": len(decided),
            "spoken": len(decided) - decided["reasoning"].null_count,
        }
    )
