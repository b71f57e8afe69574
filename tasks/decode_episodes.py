"""Decodes batches of episodes into Arrow segments, and collects the segments a run works with."""

from __future__ import annotations

import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core import schemas
from dualvla_core.episodes.collection import DecodedSegment
from dualvla_core.episodes.collection import collect_episodes as collect
from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episodes as decode
from dualvla_core.params import Summary
from infra.digests import digest_json
from infra.manifest import ArtifactRef
from tasks.dataset import DatasetSource
from tasks.stage import Job, RunContext, Work, open_artifacts, stage
from tasks.withdrawal import withdrawn_episodes


@stage("decode_episodes", version=2, limit="decode")
def decode_episodes(
    _run: RunContext,
    config: DecodeConfig,
    dataset: DatasetSource,
    scanned: ArtifactRef,
    episodes: tuple[str, ...],
    episode_timeout_s: float,
) -> Work:
    """A segment: the canonical episodes with their frames, of a batch that `plan_decoding` made."""

    def body(job: Job) -> Summary:
        table = pq.read_table(job.store.folder(scanned) / "scan.parquet", schema=schemas.SCAN)
        chosen = table.filter(pc.is_in(table.column("episode"), pc.cast(list(episodes), table.schema.field(0).type)))
        numbers = dict(
            zip(chosen.column("episode").to_pylist(), chosen.column("episode_index").to_pylist(), strict=True)
        )
        return decode(
            config,
            dataset.folder(job.store),
            dataset.embodiment,
            numbers,
            job.output,
            job.progress,
            episode_timeout_s=episode_timeout_s,
        )

    return Work(
        params=config.model_dump(mode="json"),
        facts={"episodes": digest_json(sorted(episodes))},
        body=body,
        provenance={"scan": scanned.model_dump(), "dataset": dataset.model_dump(mode="json")},
    )


@stage("collect_episodes", version=2)
def collect_episodes(
    run: RunContext, held_out_fraction: float, scanned: ArtifactRef, segments: tuple[ArtifactRef, ...]
) -> Work:
    """Which episodes this run works with, where each lies, its split, and what was left out."""
    store = open_artifacts(run)
    episodes = pq.read_table(store.folder(scanned) / "scan.parquet", columns=["episode"])["episode"].to_pylist()
    withdrawn = withdrawn_episodes(store, episodes)

    def body(job: Job) -> Summary:
        folders = [DecodedSegment(segment.key, job.store.folder(segment)) for segment in segments]
        return collect(held_out_fraction, job.store.folder(scanned), folders, job.output, withdrawn)

    return Work(
        params={"held_out_fraction": held_out_fraction},
        inputs={"scan": scanned, "segments": segments},
        facts={"withdrawn": digest_json(withdrawn)} if withdrawn else {},
        body=body,
    )
