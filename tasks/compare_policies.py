"""Compares a candidate's success with the current model's, for promotion."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from dualvla_core.evaluation.protocol import SuccessRate, compare, read_protocol
from dualvla_core.evaluation.tables import ROLLOUTS_FILE
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("compare_policies", version=1)
def compare_policies(_run: RunContext, candidate: ArtifactRef, current: ArtifactRef) -> Work:
    """Whether the rollouts of a candidate are no regression against those of the current model.

    It is refused when the whole 95 % interval of the difference lies below zero. `ProtocolMismatchError` where the two
    were not measured on the same trials.
    """

    def body(job: Job) -> Summary:
        rates = [_success(job.store.folder(rollouts)) for rollouts in (candidate, current)]
        difference = compare(*rates)
        verdict: Summary = {
            "candidate": rates[0].rate,
            "current": rates[1].rate,
            "difference": difference.value,
            "low": difference.interval.low,
            "high": difference.interval.high,
            "regression": int(difference.interval.high < 0),
        }
        (job.output / "verdict.json").write_text(json.dumps(verdict, indent=1))
        return verdict

    return Work(params={}, inputs={"candidate": candidate, "current": current}, body=body)


def _success(rollouts: Path) -> SuccessRate:
    outcomes = pq.read_table(rollouts / ROLLOUTS_FILE, columns=["success"]).column("success").to_pylist()
    return SuccessRate(read_protocol(rollouts), sum(outcomes), len(outcomes))
