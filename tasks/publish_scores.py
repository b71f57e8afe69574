"""Writes the report on scored policies."""

from __future__ import annotations

from collections.abc import Mapping

from dualvla_core.params import Summary
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.score_report import ScoredPolicy, score_report
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("publish_scores", version=1)
def publish_scores(
    _run: RunContext, config: BootstrapConfig, names: tuple[str, ...], scores: Mapping[str, tuple[ArtifactRef, ...]]
) -> Work:
    """``scores.html`` with a page per attempt, and ``scores.json``; ``scores`` and ``rollouts`` run parallel."""

    def body(job: Job) -> Summary:
        folder = job.store.folder
        rows = zip(names, scores["scores"], scores["rollouts"], strict=True)
        policies = [ScoredPolicy(name, folder(judged), folder(played)) for name, judged, played in rows]
        return score_report(policies, config, job.output, job.progress)

    return Work(params={**config.model_dump(mode="json"), "names": list(names)}, inputs=dict(scores), body=body)
