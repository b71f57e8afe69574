"""Finds out what is missing: what a dataset holds, which of its episodes are decoded, and the batches of the rest."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from prefect import task
from prefect.cache_policies import NO_CACHE

from dualvla_core import schemas
from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.estimate import estimate_decoding
from dualvla_core.episodes.scan import scan_demonstrations as scan
from dualvla_core.params import Summary
from infra.artifact_store import ArtifactStore
from infra.digests import digest_json, recipe_digest
from infra.manifest import ArtifactRef, Manifest
from infra.object_store import MissingObjectError
from tasks.dataset import DatasetSource
from tasks.decode_episodes import decode_episodes
from tasks.progress import tell
from tasks.stage import Job, RunContext, Work, open_artifacts, stage
from tasks.withdrawal import withdrawn_episodes

_MOST_BATCHES = 64


@stage("scan_demonstrations", version=2)
def scan_demonstrations(run: RunContext, dataset: DatasetSource) -> Work:
    """What a dataset holds: every episode's identity, and those that cannot be read with the reason."""
    store = open_artifacts(run)
    last_scan = f"memo/scans/{digest_json(dataset.name)[:20]}.json"

    def body(job: Job) -> Summary:
        return scan(
            dataset.folder(job.store),
            dataset.embodiment,
            job.output,
            job.progress,
            previous=_previous_scan(job.store, last_scan),
            memo=dataset.file_digests(job.store),
        )

    def remember(ref: ArtifactRef) -> None:
        store.objects.put(last_scan, ref.model_dump_json().encode())

    return Work(
        params={"embodiment": None if dataset.embodiment_file else dataset.embodiment},
        inputs=dataset.inputs(),
        facts=dataset.facts(store),
        body=body,
        provenance={"dataset": dataset.model_dump(mode="json")},
        committed=remember,
    )


def _previous_scan(store: ArtifactStore, key: str) -> Path | None:
    """The folder of the last scan of this dataset, whose identities of unchanged files are taken over."""
    try:
        ref = ArtifactRef.model_validate(json.loads(store.objects.get(key)))
    except MissingObjectError:
        return None
    manifest = store.find(ref.stage, ref.key)
    return None if manifest is None or manifest.digest != ref.digest else store.folder(ref)


@task(persist_result=False, cache_policy=NO_CACHE)
def plan_decoding(
    run: RunContext, config: DecodeConfig, dataset: DatasetSource, scanned: ArtifactRef, segment_episodes: int
) -> tuple[tuple[str, ...], ...]:
    """The episodes of the dataset in batches, a segment each; says what decoding the missing ones will cost.

    A segment's membership is fixed when it is written: committed segments come first, as they are, then batches of
    the episodes that none of them accounts for. New demonstrations therefore add segments and change none.
    """
    store = open_artifacts(run)
    folder = store.folder(scanned)
    rows = pq.read_table(folder / "scan.parquet", schema=schemas.SCAN).to_pylist()
    wanted = {row["episode"] for row in rows}
    recipe = recipe_digest(decode_episodes.name, decode_episodes.version, config.model_dump(mode="json"))
    batches, known = [], set[str]()
    for manifest in store.manifests(decode_episodes.name, recipe):
        members = _members(store, manifest)
        if wanted.intersection(members) - known and (wanted.issuperset(members) or not _is_forced(run)):
            batches.append(members)
            known.update(members)
    withdrawn = withdrawn_episodes(store, wanted)
    missing = [row for row in rows if row["episode"] not in known and row["episode"] not in withdrawn]
    if missing:
        names = [row["episode"] for row in missing]
        estimate = estimate_decoding(dataset.folder(store), dataset.embodiment, folder, names, config)
        costs = f": about {estimate.bytes / 1e6:.0f} MB, and {estimate.seconds:.0f} s of one core" if estimate else ""
        tell(f"{len(missing)} of {len(rows)} episodes are to be decoded{costs}.")
    return (*batches, *_batches(missing, segment_episodes))


def _is_forced(run: RunContext) -> bool:
    return decode_episodes.name in run.force


def _members(store: ArtifactStore, segment: Manifest) -> tuple[str, ...]:
    """The episodes a segment accounts for, decoded or recorded as impossible to decode, in the order of digests.

    Only the two small tables are read: the frames beside them stay where they are.
    """
    found: set[str] = set()
    for name in ("episodes.parquet", "skipped.parquet"):
        table = pq.read_table(pa.BufferReader(store.read(segment, name)), columns=["episode"])
        found.update(table.column("episode").to_pylist())
    return tuple(sorted(found))


def _batches(rows: list[dict[str, object]], size: int) -> tuple[tuple[str, ...], ...]:
    """Episodes in batches; the episodes of a batch share their cameras and embodiment.

    Many episodes make larger batches, so that even 10,000 are a few hundred task runs in all.
    """
    size = max(size, math.ceil(len(rows) / _MOST_BATCHES))
    groups: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        groups[json.dumps([row["cameras"], row["embodiment"]])].append(str(row["episode"]))
    return tuple(
        tuple(sorted(group[start : start + size])) for group in groups.values() for start in range(0, len(group), size)
    )
