"""Computes the statistics that normalise actions and states."""

from __future__ import annotations

import polars as pl

from dualvla_core.params import Summary
from dualvla_core.shards import compute_statistics as compute
from dualvla_core.shards.config import StatisticsConfig
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("compute_statistics", version=2)
def compute_statistics(
    _run: RunContext, config: StatisticsConfig, collection: ArtifactRef, segments: tuple[ArtifactRef, ...]
) -> Work:
    """Normalisation statistics over the training episodes of a collection."""

    def body(job: Job) -> Summary:
        episodes = pl.read_parquet(job.store.folder(collection) / "collection.parquet")
        training = episodes.filter(pl.col("split") == "train").get_column("episode").to_list()
        return compute(config, [job.store.folder(segment) for segment in segments], training, job.output, job.progress)

    return Work(
        params=config.model_dump(mode="json"), inputs={"collection": collection, "segments": segments}, body=body
    )
