"""Episodes that were withdrawn: kept out of every later collection, and found in what was made before."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest

_PREFIX = "withdrawn/"
_LISTED_IN = {
    "scan_demonstrations": ("scan.parquet",),
    "decode_episodes": ("episodes.parquet",),
    "collect_episodes": ("collection.parquet",),
}
"""The stages whose artifacts list their episodes; all others contain what they are made from."""


@dataclass(frozen=True)
class Containing:
    """A committed artifact that contains an episode."""

    manifest: Manifest
    is_checkpoint: bool


def withdraw(store: ArtifactStore, digest: str, reason: str) -> str:
    """Withdraw the episode that ``digest`` (or its unambiguous beginning) names; returns the whole digest.

    Raises `ArtifactError` when no scan knows such an episode, or several.
    """
    known = {episode for manifest in store.manifests("scan_demonstrations") for episode in _listed(store, manifest)}
    found = sorted(episode for episode in known if digest and episode.startswith(digest))
    if len(found) != 1:
        raise ArtifactError(
            f"{len(found)} of the {len(known)} episodes known to this store begin with {digest!r}; give the digest of "
            "one, as the report and `dualvla doctor --json` show it."
        )
    record = {"reason": reason, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    store.objects.put(f"{_PREFIX}{found[0]}.json", json.dumps(record).encode())
    return found[0]


def withdrawn_episodes(store: ArtifactStore, among: Iterable[str] | None = None) -> dict[str, str]:
    """The reason by digest of every withdrawn episode, or of those ``among`` the given ones."""
    names = [info.key.removeprefix(_PREFIX).removesuffix(".json") for info in store.objects.list(_PREFIX)]
    wanted = set(names) if among is None else set(names).intersection(among)
    return {name: json.loads(store.objects.get(f"{_PREFIX}{name}.json"))["reason"] for name in sorted(wanted)}


def containing(store: ArtifactStore, digest: str) -> list[Containing]:
    """Every committed artifact that contains the episode, makers first.

    What is made from a collection contains what the collection does, whatever else lies in the segments beside it.
    """
    manifests = {str(manifest.ref): manifest for manifest in store.manifests()}
    verdicts: dict[str, bool] = {}

    def contains(name: str) -> bool:
        manifest = manifests.get(name)
        if name not in verdicts and manifest is not None:
            if manifest.request.stage in _LISTED_IN:
                verdicts[name] = digest in _listed(store, manifest)
            else:
                inputs = [str(ref) for refs in manifest.request.inputs.values() for ref in refs]
                deciding = [name for name in inputs if name.startswith("collect_episodes/")] or inputs
                verdicts[name] = any(map(contains, deciding))
        return verdicts.get(name, False)

    found = [manifest for name, manifest in manifests.items() if contains(name)]
    order = {name: number for number, name in enumerate(verdicts)}
    found.sort(key=lambda manifest: order[str(manifest.ref)])
    return [Containing(manifest, _is_checkpoint(manifest)) for manifest in found]


def _listed(store: ArtifactStore, manifest: Manifest) -> set[str]:
    folder = store.folder(manifest.ref)
    names = _LISTED_IN[manifest.request.stage]
    return {
        episode
        for name in names
        for episode in pq.read_table(folder / name, columns=["episode"])["episode"].to_pylist()
    }


def _is_checkpoint(manifest: Manifest) -> bool:
    return any(name.endswith(".safetensors") for name in manifest.files)
