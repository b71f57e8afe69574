"""Finds a curated episode in the store: what was decided about it last, and from what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dualvla_core.errors import ConfigError
from dualvla_core.pruning.timeline import CuratedFolders
from dualvla_core.schemas import COLLECTION
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from tasks.stage import RunContext, open_artifacts

_LONGEST_NUMBER = 6  # digits; a longer text of digits is the beginning of a digest


@dataclass(frozen=True)
class CuratedEpisode:
    """An episode of a collection, and the newest decisions about it."""

    row: dict[str, Any]
    """Of `schemas.COLLECTION`."""
    decided: Manifest
    """Of `prune_reasoning`."""
    folders: CuratedFolders


def find_episode(run: RunContext, name: str) -> CuratedEpisode:
    """The episode whose digest begins with ``name``, or the one of that number in the newest curation.

    Raises `ConfigError` when there is none, or when several begin so.
    """
    store = open_artifacts(run)
    row = _in_collections(store, name)
    for manifest in _newest(store, "prune_reasoning"):
        inputs = manifest.request.inputs
        if inputs["segment"][0].key == row["segment"]:
            folders = {role: store.folder(refs[0]) for role, refs in inputs.items()}
            return CuratedEpisode(row, manifest, CuratedFolders(**folders, decisions=store.folder(manifest.ref)))
    raise ConfigError(f"Episode {row['episode'][:12]} was decoded but not pruned yet; run the curation again.")


def _in_collections(store: ArtifactStore, name: str) -> dict[str, Any]:
    """The row of the newest collection that holds the episode."""
    by_number = name.isdecimal() and len(name) <= _LONGEST_NUMBER
    for manifest in _newest(store, "collect_episodes"):
        rows: list[dict[str, Any]] = pq.read_table(
            Path(store.folder(manifest.ref)) / "collection.parquet", schema=COLLECTION
        ).to_pylist()
        found = [
            row
            for row in rows
            if (row["episode_index"] == int(name) if by_number else row["episode"].startswith(name.lower()))
        ]
        if len(found) > 1:
            raise ConfigError(f"{len(found)} episodes begin with {name!r}; give more of the digest, or the number.")
        if found:
            return found[0]
        if by_number:
            raise ConfigError(
                f"The newest curation has {len(rows)} episodes, and no episode {name}; give one of its numbers, or the "
                "beginning of a digest from any report."
            )
    raise ConfigError(
        f"No curated episode begins with {name!r}; take digest or number from a report, or run `dualvla curate` first."
    )


def _newest(store: ArtifactStore, stage: str) -> Iterator[Manifest]:
    """The stage's artifacts, the last one computed first."""
    return iter(sorted(store.manifests(stage), key=lambda each: str(store.run_record(each)["started"]), reverse=True))
