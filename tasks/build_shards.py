"""Builds training shards, robot and multimodal."""

from __future__ import annotations

from dualvla_core.shards import build_multimodal_shard as build_multimodal
from dualvla_core.shards import build_shard as build
from dualvla_core.shards.config import MultimodalConfig, ShardsConfig
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage


@stage("build_shards", version=2)
def build_shards(_run: RunContext, config: ShardsConfig, segment: ArtifactRef, decisions: ArtifactRef) -> Work:
    """The training shard of a segment: every frame and action, and reasoning as pruning decided."""
    return Work(
        params=config.model_dump(mode="json"),
        inputs={"segment": segment, "decisions": decisions},
        body=lambda job: build(
            config, job.store.folder(segment), job.store.folder(decisions), job.output, job.progress
        ),
    )


@stage("build_multimodal_shard", version=1)
def build_multimodal_shard(_run: RunContext, config: MultimodalConfig, recorded: ArtifactRef) -> Work:
    """The shard of visual questions that were recorded with the demonstrations."""
    return Work(
        params=config.model_dump(mode="json"),
        inputs={"recorded": recorded},
        body=lambda job: build_multimodal(config, job.store.folder(recorded) / "multimodal", job.output, job.progress),
    )
