"""Builds training shards, robot and multimodal, and the statistics that normalise them."""

from __future__ import annotations

import polars as pl

from dualvla_core.params import Summary
from dualvla_core.shards import build_multimodal_shard as build_multimodal
from dualvla_core.shards import build_shard as build
from dualvla_core.shards import compute_statistics as compute
from dualvla_core.shards.config import MultimodalConfig, ShardsConfig, StatisticsConfig
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("build_shards", version=1)
def build_shards(_run: RunContext, config: ShardsConfig, segment: ArtifactRef, decisions: ArtifactRef) -> Work:
    """The training shard of a segment: every frame and action, and reasoning where pruning kept it."""
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


@stage("compute_statistics", version=1)
def compute_statistics(
    _run: RunContext, config: StatisticsConfig, collection: ArtifactRef, shards: tuple[ArtifactRef, ...]
) -> Work:
    """Normalisation statistics over the training episodes of a collection."""

    def body(job: Job) -> Summary:
        episodes = pl.read_parquet(job.store.folder(collection) / "collection.parquet")
        training = episodes.filter(pl.col("split") == "train").get_column("episode").to_list()
        return compute(config, [job.store.folder(shard) for shard in shards], training, job.output, job.progress)

    return Work(params=config.model_dump(mode="json"), inputs={"collection": collection, "shards": shards}, body=body)
