"""Finds a curated episode in the store: what was decided about it last, and from what."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dualvla_core.errors import ConfigError
from dualvla_core.pruning.config import Rule
from dualvla_core.pruning.timeline import CuratedFolders
from dualvla_core.schemas import COLLECTION
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from tasks.stage import RunContext, open_artifacts

_LONGEST_NUMBER = 6  # digits; a longer text of digits is the beginning of a digest


@dataclass(frozen=True)
class CuratedEpisode:
    """An episode of a collection, and decisions about it."""

    row: dict[str, Any]
    """Of `schemas.COLLECTION`."""
    decided: Manifest
    """Of `prune_reasoning`."""
    folders: CuratedFolders


def find_episode(run: RunContext, name: str, rule: Rule | None = None) -> CuratedEpisode:
    """The episode whose digest begins with ``name``, or the one of that number in the newest curation.

    With the newest decisions by ``rule``; without one, with the newest of any rule that prunes, if there are any: a
    training also decides to keep everything, for the teacher of its student.

    Raises `ConfigError` when there is none, or when several begin so.
    """
    store = open_artifacts(run)
    row = _in_collections(store, name)
    about = [
        each
        for each in _newest(store, "prune_reasoning")
        if each.request.inputs["segment"][0].key == row["segment"] and rule in {None, each.request.params["rule"]}
    ]
    if not about:
        by = "" if rule is None else f" by the rule {rule!r}"
        raise ConfigError(f"Episode {row['episode'][:12]} was decoded but not pruned{by} yet; run the curation again.")
    manifest = next((each for each in about if each.request.params["rule"] != "none"), about[0])
    folders = {role: store.folder(refs[0]) for role, refs in manifest.request.inputs.items()}
    return CuratedEpisode(row, manifest, CuratedFolders(**folders, decisions=store.folder(manifest.ref)))


def _in_collections(store: ArtifactStore, name: str) -> dict[str, Any]:
    """The row of the newest collection that holds the episode.

    A number is one of the newest that was pruned: event detectors learn from collections that never are.
    """
    by_number = name.isdecimal() and len(name) <= _LONGEST_NUMBER
    collections: list[list[dict[str, Any]]] = [
        pq.read_table(Path(store.folder(manifest.ref)) / "collection.parquet", schema=COLLECTION).to_pylist()
        for manifest in _newest(store, "collect_episodes")
    ]
    if by_number:
        pruned = {each.request.inputs["segment"][0].key for each in store.manifests("prune_reasoning")}
        collections.sort(key=lambda rows: not any(row["segment"] in pruned for row in rows))
    for rows in collections:
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
