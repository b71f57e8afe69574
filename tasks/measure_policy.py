"""Measures a policy without a simulator: its actions on held-out episodes."""

from __future__ import annotations

import polars as pl

from dualvla_core.evaluation.config import OpenLoopConfig
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage
from tasks.training_job import TrainingData


@stage("measure_open_loop", version=2)
def measure_open_loop(
    _run: RunContext, config: OpenLoopConfig, policy: ArtifactRef, data: TrainingData, statistics: ArtifactRef
) -> Work:
    """Action error on the held-out episodes of the collection."""

    def body(job: Job) -> Summary:
        from dualvla_core.evaluation.open_loop import evaluate_open_loop  # noqa: PLC0415 - torch is an extra
        from dualvla_core.models.policy import load_policy  # noqa: PLC0415

        episodes = pl.read_parquet(job.store.folder(data.collection) / "collection.parquet")
        held_out = episodes.filter(pl.col("split") == "held_out").get_column("episode").to_list()
        return evaluate_open_loop(
            config,
            [job.store.folder(shard) for shard in data.shards],
            held_out,
            job.store.folder(statistics),
            load_policy(str(job.store.folder(policy))),
            job.output,
            job.progress,
        )

    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]]
    inputs = {"policy": policy, "shards": data.shards, "collection": data.collection, "statistics": statistics}
    return Work(params=config.model_dump(mode="json"), inputs=inputs, body=body)
