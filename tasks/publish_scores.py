"""Writes the report on scored policies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from dualvla_core.params import Summary
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.score_report import NUMBERS, PAGE, ScoredPolicy, score_report, score_rows
from infra.manifest import ArtifactRef
from tasks.progress import publish_table
from tasks.stage import Job, RunContext, Work, open_artifacts, stage


@stage("publish_scores", version=2)
def publish_scores(
    run: RunContext, config: BootstrapConfig, names: tuple[str, ...], scores: Mapping[str, tuple[ArtifactRef, ...]]
) -> Work:
    """``scores.html`` with a page per attempt, and ``scores.json``; ``scores`` and ``rollouts`` run parallel."""

    def body(job: Job) -> Summary:
        folder = job.store.folder
        rows = zip(names, scores["scores"], scores["rollouts"], strict=True)
        policies = [ScoredPolicy(name, folder(judged), folder(played)) for name, judged, played in rows]
        return score_report(policies, config, job.output, job.progress)

    return Work(
        params={**config.model_dump(mode="json"), "names": list(names)},
        inputs=dict(scores),
        body=body,
        committed=lambda ref: _show(ref, open_artifacts(run).folder(ref)),
    )


def _show(report: ArtifactRef, folder: Path) -> None:
    """The policies side by side in the Prefect UI, and where the page lies that leads to every attempt."""
    numbers = json.loads((folder / NUMBERS).read_text(encoding="utf-8"))
    publish_table(
        "scores", score_rows(numbers), f"`{report}`: every attempt's images, words and grades in {folder / PAGE}"
    )
