"""Lineage as a tree in the terminal: back to the episodes with the numbers on the way, or forward to the reports."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from rich.tree import Tree

from dualvla_core.errors import ArtifactError
from flows.cli.store import find_artifact
from flows.cli.tables import summary_line
from infra.artifact_store import ArtifactStore
from infra.lineage import consumers, inputs_of
from infra.manifest import Manifest
from infra.run_record import find_run, runs, used_refs
from tasks.decode_episodes import decode_episodes

_EPISODE_DIGITS = 12


def start_of(store: ArtifactStore, name: str) -> tuple[Manifest, str]:
    """The artifact to start from, and the episode where one was named: its segment is then the start.

    ``name`` is STAGE/KEY, a run (its report is the start), or the beginning of an episode's digest.
    """
    if "/" in name:
        return find_artifact(store, name), ""
    for segment in store.manifests(decode_episodes.name):
        for episode in episodes_of(store, segment):
            if len(name) >= _EPISODE_DIGITS and episode.startswith(name):
                return segment, episode
    record = find_run(store.objects, name)
    if record.report is None:
        raise ArtifactError(f"The run {record.id} has no report to start from; give one of its artifacts.")
    return store.manifest(record.report), ""


def episodes_of(store: ArtifactStore, segment: Manifest) -> list[str]:
    """The digests of the episodes that a segment holds."""
    table = pq.read_table(pa.BufferReader(store.read(segment, "episodes.parquet")), columns=["episode"])
    return [str(episode) for episode in table.column("episode").to_pylist()]


def backward_tree(store: ArtifactStore, manifest: Manifest) -> Tree:
    """What an artifact was made from; a branch that was drawn before is only named again."""
    tree, seen = Tree(_line(manifest)), {str(manifest.ref)}
    _grow_backward(store, tree, manifest, seen)
    return tree


def forward_tree(store: ArtifactStore, manifest: Manifest, episode: str) -> Tree:
    """What was made from an artifact, and which runs used that; ``episode`` is the one asked for, if any."""
    by_input = consumers(store.manifests())
    by_artifact: dict[tuple[str, str], list[str]] = {}
    for record in runs(store.objects):
        for used in used_refs(store.objects, record.id):
            by_artifact.setdefault(used, []).append(record.id)
    tree = Tree(f"episode {episode}") if episode else Tree(_line(manifest))
    start = tree.add(_line(manifest)) if episode else tree
    _grow_forward(start, manifest, by_input, by_artifact, {str(manifest.ref)})
    return tree


def _grow_backward(store: ArtifactStore, tree: Tree, manifest: Manifest, seen: set[str]) -> None:
    if manifest.request.stage == decode_episodes.name:
        source = store.run_record(manifest)["provenance"]["dataset"]
        where = source["path"] or "recorded demonstrations"
        for episode in episodes_of(store, manifest):
            tree.add(f"episode {episode[:_EPISODE_DIGITS]} of {where}")
    for ref in inputs_of(manifest):
        if str(ref) in seen:
            tree.add(f"[dim]{ref}[/dim]")
            continue
        seen.add(str(ref))
        source_manifest = store.manifest(ref)
        _grow_backward(store, tree.add(_line(source_manifest)), source_manifest, seen)


def _grow_forward(
    tree: Tree,
    manifest: Manifest,
    by_input: dict[tuple[str, str], list[Manifest]],
    by_artifact: dict[tuple[str, str], list[str]],
    seen: set[str],
) -> None:
    for consumer in by_input.get((manifest.request.stage, manifest.digest), []):
        if str(consumer.ref) in seen:
            tree.add(f"[dim]{consumer.ref}[/dim]")
            continue
        seen.add(str(consumer.ref))
        branch = tree.add(_line(consumer))
        if (consumer.request.stage, consumer.digest) not in by_input:
            for run in by_artifact.get((consumer.request.stage, consumer.key), []):
                branch.add(f"run {run}")
        _grow_forward(branch, consumer, by_input, by_artifact, seen)


def _line(manifest: Manifest) -> str:
    numbers = summary_line(manifest.summary)
    return f"[bold]{manifest.ref}[/bold]" + (f"  {numbers}" if numbers else "")
