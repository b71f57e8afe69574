"""Measures how far a judge agrees with people, or with another judge."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.params import Summary
from dualvla_core.vla_score.config import BootstrapConfig
from infra.digests import digest_file
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("measure_agreement", version=1)
def measure_agreement(
    _run: RunContext, config: BootstrapConfig, scores: ArtifactRef, other: ArtifactRef | None, human: str | None
) -> Work:
    """Weighted kappa, alpha and correlations per dimension: with the CSV ``human``, or with ``other`` scores."""

    def body(job: Job) -> Summary:
        from dualvla_core.vla_score.calibration import calibrate  # noqa: PLC0415 - scipy is an extra

        verdicts = job.store.folder(other) if other is not None else None
        ratings = Path(human) if human is not None else None
        return calibrate(config, job.store.folder(scores), verdicts, ratings, job.output)

    inputs = {"scores": scores} | ({"other": other} if other is not None else {})
    facts = {"human": digest_file(Path(human))} if human is not None else {}
    return Work(params=config.model_dump(mode="json"), inputs=inputs, facts=facts, body=body)
