"""From rollouts to verdicts and the VLA Score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.trajectory import read_rollouts, read_trajectories
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.judge import Judge
from dualvla_core.vla_score.rule_judge import RuleJudge
from dualvla_core.vla_score.score import VlaScore, aggregate, trajectory_score

VERDICTS_FILE, SCORES_FILE = "verdicts.parquet", "scores.parquet"

VERDICTS = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),
        pa.field("task", pa.string(), False),
        pa.field("seed", pa.int64(), False),
        pa.field("policy_type", pa.string(), False),
        pa.field("judge", pa.string(), False),
        pa.field("success", pa.bool_(), False),
        pa.field("action", pa.int32(), False),  # the judge's integers, 0 to 10
        pa.field("intention", pa.int32(), False),
        pa.field("reasoning", pa.int32()),  # null for specialists
        pa.field("alignment", pa.int32()),  # null for specialists
        pa.field("thought", pa.string(), False),
        pa.field("score", pa.float64(), False),  # Eq. 8, in [0, 1]
    ]
)
"""One row per trajectory."""

_MEASURED = ("reasoning", "action", "intention", "alignment", "success", "vla_score")
SCORES = pa.schema(
    [pa.field("task", pa.string(), False), *(pa.field(name, pa.float64()) for name in _MEASURED)]  # 0 to 100
)
"""One row per task: the means over its trajectories; reasoning and alignment are null for specialists."""

JUDGES: dict[str, Callable[[ScoreConfig], Judge]] = {"rule": lambda params: RuleJudge(params.rule)}
"""Judges by their name in the configuration."""


def score_trajectories(
    params: ScoreConfig, rollouts: Path, policy_type: PolicyType, output: Path, progress: Progress = silent
) -> Summary:
    """Judge every trajectory of a folder of rollouts; write ``verdicts.parquet`` and ``scores.parquet``.

    Args:
        params: which judge, and its scales.
        rollouts: folder written by the rollouts stage.
        policy_type: the type recorded in the checkpoint; decides the branch of Eq. 8.
        output: an empty folder.
        progress: told the number of trajectories judged.

    Returns:
        On the paper's scale of 0 to 100, as unweighted means over tasks: ``vla_score`` and the means ``action``,
        ``intention``, ``success`` and, for policies that reason, ``reasoning`` and ``alignment``; ``vla_score_micro``,
        the mean over trajectories; ``<task>.vla_score``; and the number of trajectories.

    Raises:
        ArtifactError: when the rollouts cannot be read or are those of another type of policy.
    """
    total = len(read_rollouts(rollouts))
    judge = JUDGES[params.judge](params)
    rows: list[dict[str, Any]] = []
    for trajectory in read_trajectories(rollouts):
        if trajectory.policy_type != policy_type:
            raise ArtifactError(
                f"The rollouts are those of a {trajectory.policy_type} policy and were to be scored as {policy_type}; "
                "score them as what they are."
            )
        verdict = judge.judge(trajectory)
        rows.append(
            {
                "rollout": trajectory.rollout,
                "task": trajectory.task,
                "seed": trajectory.seed,
                "policy_type": policy_type,
                "judge": params.judge,
                "success": trajectory.success,
                **verdict.model_dump(),
                "score": trajectory_score(verdict, policy_type, trajectory.success),
            }
        )
        progress(len(rows), total)
    score = aggregate((row["task"], row["score"]) for row in rows)
    tasks = [_task_row(task, [row for row in rows if row["task"] == task], score) for task in score.tasks]
    pq.write_table(pa.Table.from_pylist(rows, VERDICTS), output / VERDICTS_FILE, compression="zstd")
    pq.write_table(pa.Table.from_pylist(tasks, SCORES), output / SCORES_FILE, compression="zstd")
    return _summary(score, tasks, len(rows))


def _task_row(task: str, rows: Sequence[dict[str, Any]], score: VlaScore) -> dict[str, Any]:
    def mean(name: str, scale: int) -> float | None:
        values = [row[name] for row in rows]
        return None if None in values else scale * sum(values) / len(values)

    judged = {name: mean(name, 10) for name in ("reasoning", "action", "intention", "alignment")}
    return {"task": task, **judged, "success": mean("success", 100), "vla_score": score.tasks[task]}


def _summary(score: VlaScore, tasks: Sequence[dict[str, Any]], trajectories: int) -> Summary:
    summary: Summary = {"trajectories": trajectories, "vla_score": score.macro, "vla_score_micro": score.micro}
    for name in _MEASURED[:-1]:
        values = [row[name] for row in tasks]
        if None not in values:
            summary[name] = sum(values) / len(values)
    return summary | {f"{task}.vla_score": value for task, value in score.tasks.items()}
