"""From rollouts to verdicts and the score."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.trajectory import Trajectory, read_rollouts, read_trajectories
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.judge import DIMENSIONS, Judge, JudgeIdentity, MissingVerdictError
from dualvla_core.vla_score.recorded import (
    VERDICTS,
    VERDICTS_FILE,
    judgement_columns,
    missing_columns,
    trajectory_digest,
)
from dualvla_core.vla_score.score import CoverageError, Scored, VlaScore, aggregate, trajectory_score
from dualvla_core.vla_score.validation import AgreementReport, Validation, validate

SCORES_FILE, SCORE_FILE = "scores.parquet", "score.json"

SCORES = pa.schema(
    [
        pa.field("task", pa.string(), False),
        pa.field("trajectories", pa.int64(), False),
        pa.field("judged", pa.int64(), False),  # those with a verdict; all means but that of success are over them
        *(pa.field(name, pa.float64()) for name in DIMENSIONS),  # 0 to 100; null for what specialists lack
        pa.field("success", pa.float64(), False),  # 0 to 100, over all trajectories
        pa.field("score", pa.float64(), False),  # 0 to 100
        pa.field("score_low", pa.float64()),  # bootstrap interval; null for a single trajectory
        pa.field("score_high", pa.float64()),
    ]
)
"""One row per task: the means over its trajectories."""


def score_trajectories(
    params: ScoreConfig,
    rollouts: Path,
    policy_type: PolicyType,
    judge: Judge,
    output: Path,
    progress: Progress = silent,
    *,
    workers: int = 1,
    agreement: AgreementReport | None = None,
) -> Summary:
    """Judge every trajectory of a folder of rollouts; write verdicts, scores per task and ``score.json``.

    Args:
        params: how to average, and what a score needs.
        rollouts: folder written by the rollouts stage.
        policy_type: the type recorded in the checkpoint; decides the branch of Eq. 8.
        judge: who judges.
        output: an empty folder.
        progress: told the number of trajectories judged.
        workers: trajectories judged at once; changes no verdict.
        agreement: how far this judge agrees with people, where that was measured.

    Returns:
        ``name``, what the score may be called; on the paper's scale of 0 to 100, as unweighted means over tasks:
        ``score`` with its interval and the means of the dimensions and of success; ``score_micro``, the mean over
        trajectories; ``<task>.score``; the number of trajectories and the coverage.

    Raises:
        ArtifactError: when the rollouts cannot be read or are those of another type of policy.
        CoverageError: when too many verdicts are missing.
    """
    total = len(read_rollouts(rollouts))
    rows: list[dict[str, Any]] = []
    for row in judge_all(_checked(read_trajectories(rollouts), policy_type), judge, workers):
        rows.append(row)
        progress(len(rows), total)
    pq.write_table(pa.Table.from_pylist(rows, VERDICTS), output / VERDICTS_FILE, compression="zstd")
    score = _aggregated(rows, params)
    tasks = [_task_row(task, [row for row in rows if row["task"] == task], score) for task in score.tasks]
    pq.write_table(pa.Table.from_pylist(tasks, SCORES), output / SCORES_FILE, compression="zstd")
    validation = validate(judge.identity, agreement, params.min_agreement)
    told = _told(score, validation, judge.identity, rows)
    (output / SCORE_FILE).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    return _summary(score, validation, tasks, len(rows))


def judge_all(trajectories: Iterator[Trajectory], judge: Judge, workers: int = 1) -> Iterator[dict[str, Any]]:
    """A row of `VERDICTS` per trajectory, in order; a verdict that cannot be obtained is a row that says why."""
    with ThreadPoolExecutor(workers) as threads:
        yield from threads.map(lambda trajectory: _judge(trajectory, judge), trajectories)


def scored(rows: Sequence[dict[str, Any]]) -> list[Scored]:
    """The rows of a verdict table as what is averaged and compared."""
    return [Scored(row["task"], row["seed"], row.get("score")) for row in rows]


def _aggregated(rows: Sequence[dict[str, Any]], params: ScoreConfig) -> VlaScore:
    try:
        return aggregate(scored(rows), params.bootstrap, params.min_coverage)
    except CoverageError as error:
        reason = next(row["missing"] for row in rows if row["missing"] is not None)
        raise CoverageError(f"{error} The first reason: {reason}") from error


def _checked(trajectories: Iterator[Trajectory], policy_type: PolicyType) -> Iterator[Trajectory]:
    for trajectory in trajectories:
        if trajectory.policy_type != policy_type:
            raise ArtifactError(
                f"The rollouts are those of a {trajectory.policy_type} policy and were to be scored as {policy_type}; "
                "score them as what they are."
            )
        yield trajectory


def _judge(trajectory: Trajectory, judge: Judge) -> dict[str, Any]:
    row: dict[str, Any] = {
        name: getattr(trajectory, name) for name in ("rollout", "task", "seed", "policy_type", "success")
    }
    row |= {"trajectory": trajectory_digest(trajectory), "judge": judge.identity.model_dump_json()}
    try:
        judgement = judge.judge(trajectory)
    except MissingVerdictError as error:
        return row | missing_columns(str(error))
    score = trajectory_score(judgement.verdict, trajectory.policy_type, trajectory.success)
    return row | judgement_columns(judgement) | {"missing": None, "score": score}


def _task_row(task: str, rows: Sequence[dict[str, Any]], score: VlaScore) -> dict[str, Any]:
    judged = [row for row in rows if row["missing"] is None]
    interval = score.task_intervals[task]

    def mean(name: str) -> float | None:
        values = [row[name] for row in judged]
        return None if None in values else 10 * sum(values) / len(values)

    return {
        "task": task,
        "trajectories": len(rows),
        "judged": len(judged),
        **{name: mean(name) for name in DIMENSIONS},
        "success": 100 * sum(row["success"] for row in rows) / len(rows),
        "score": score.tasks[task],
        "score_low": interval and interval.low,
        "score_high": interval and interval.high,
    }


def _told(
    score: VlaScore, validation: Validation, identity: JudgeIdentity, rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "name": validation.name,
        "standing": validation.standing,
        "reason": validation.reason,
        "judge": identity.model_dump(),
        "trajectories": len(rows),
        **asdict(score),
        "prompt_tokens": sum(row["prompt_tokens"] for row in rows),
        "completion_tokens": sum(row["completion_tokens"] for row in rows),
    }


def _summary(score: VlaScore, validation: Validation, tasks: Sequence[dict[str, Any]], trajectories: int) -> Summary:
    summary: Summary = {
        "name": validation.name,
        "trajectories": trajectories,
        "coverage": score.coverage,
        "score": score.macro,
        "score_micro": score.micro,
    }
    if score.macro_interval is not None:
        summary |= {"score_low": score.macro_interval.low, "score_high": score.macro_interval.high}
    for name in (*DIMENSIONS, "success"):
        values = [row[name] for row in tasks]
        if None not in values:
            summary[name] = sum(values) / len(values)
    return summary | {f"{task}.score": value for task, value in score.tasks.items()}
