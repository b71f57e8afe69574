"""Decides for every frame of each segment whether it keeps its reasoning."""

from __future__ import annotations

from dualvla_core.pruning import prune_reasoning as prune
from dualvla_core.pruning.config import PruningConfig
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage


@stage("prune_reasoning", version=2)
def prune_reasoning(
    _run: RunContext, config: PruningConfig, segment: ArtifactRef, boundaries: ArtifactRef, kinematics: ArtifactRef
) -> Work:
    """The decision table of a segment."""
    return Work(
        params=config.model_dump(mode="json"),
        inputs={"segment": segment, "boundaries": boundaries, "kinematics": kinematics},
        body=lambda job: prune(
            config,
            job.store.folder(segment),
            job.store.folder(boundaries),
            job.store.folder(kinematics),
            job.output,
            job.progress,
        ),
    )
