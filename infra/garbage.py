"""What nobody needs any more: artifacts that no kept run reaches, and what killed attempts left behind."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from dualvla_core.errors import ArtifactError
from infra.artifact_store import ArtifactStore
from infra.lease import held, is_held, try_acquire
from infra.lineage import inputs_of
from infra.manifest import Manifest
from infra.object_store import ObjectInfo
from infra.pins import pins
from infra.run_record import RunRecord, is_alive, runs, used_refs

GC_LEASE = "garbage-collection"
RESUMABLE_S = 7 * 24 * 3600.0  # how long unfinished work waits to be continued


@dataclass(frozen=True)
class Garbage:
    """One group of objects to delete, with the reason."""

    name: str
    reason: str
    keys: tuple[str, ...]
    size: int


@contextmanager
def collecting(store: ArtifactStore) -> Iterator[None]:
    """Keep runs from starting meanwhile; `ArtifactError` while one runs, or while another collection does.

    A run first announces itself and then looks for a collection, a collection does the same the other way round: of
    the two at least one sees the other.
    """
    lease = try_acquire(store.objects, GC_LEASE)
    if lease is None:
        raise ArtifactError("Another garbage collection is at work in this store; wait until it is done.")
    with held(lease):
        alive = next((record for record in runs(store.objects) if is_alive(store.objects, record)), None)
        if alive is not None:
            raise ArtifactError(f"The run {alive.id} is at work on {alive.host}; collect garbage when it is done.")
        yield


def find_garbage(store: ArtifactStore, keep_last: int) -> Iterator[Garbage]:
    """What pins and the newest ``keep_last`` runs do not reach; largest groups are whole artifacts."""
    known = {(manifest.request.stage, manifest.key): manifest for manifest in store.manifests()}
    history = runs(store.objects)
    kept_runs = {record.id for record in history[-keep_last:]} if keep_last else set()
    targets = {pin.target for pin in pins(store.objects)}
    kept_runs |= {record.id for record in history if record.id in targets}
    reached = _reached(known, _roots(store, targets, kept_runs))
    since = min((record.started for record in history if _unfinished(record, kept_runs)), default="")
    for name, objects in _by_artifact(store.objects.list("artifacts/")).items():
        manifest = known.get(name)
        if manifest is None:
            yield from _group("/".join(name), "an attempt that was killed or failed", _idle(store, name[1], objects))
        elif name in reached or (since and _committed_after(objects, since)):
            lost = [info for info in objects if not _belongs(info.key, manifest)]
            yield from _group("/".join(name), "attempts that lost or were replaced", _idle(store, name[1], lost))
        else:
            yield from _group("/".join(name), "no pinned or recent run reaches it", objects)
    yield from _old_runs(store, history, kept_runs)
    yield from _stale_work(store, {key for _, key in known}, {record.id for record in history})


def delete_garbage(store: ArtifactStore, found: Iterable[Garbage]) -> None:
    """Delete groups; what makes an artifact complete goes first, so that no reader finds half of one."""
    for garbage in found:
        for key in sorted(garbage.keys, key=lambda key: not key.endswith("/manifest.json")):
            store.objects.delete(key)


def _roots(store: ArtifactStore, targets: set[str], kept_runs: set[str]) -> Iterator[tuple[str, str]]:
    for target in targets:
        stage, slash, key = target.partition("/")
        if slash:
            yield stage, key
    for run_id in kept_runs:
        yield from used_refs(store.objects, run_id)


def _reached(known: dict[tuple[str, str], Manifest], roots: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    reached: set[tuple[str, str]] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in known and name not in reached:
            reached.add(name)
            waiting.extend((ref.stage, ref.key) for ref in inputs_of(known[name]))
    return reached


def _unfinished(record: RunRecord, kept_runs: set[str]) -> bool:
    return record.id in kept_runs and record.state == "running"


def _committed_after(objects: list[ObjectInfo], since: str) -> bool:
    """Whether the commit is younger than a run that was killed: its use may not have been written any more."""

    start = datetime.fromisoformat(since).timestamp()
    return any(info.key.endswith("/manifest.json") and info.modified >= start for info in objects)


def _by_artifact(objects: Iterable[ObjectInfo]) -> dict[tuple[str, str], list[ObjectInfo]]:
    found: dict[tuple[str, str], list[ObjectInfo]] = {}
    for info in objects:
        _, stage, key, _ = info.key.split("/", 3)
        found.setdefault((stage, key), []).append(info)
    return found


def _belongs(key: str, manifest: Manifest) -> bool:
    name = key.split("/", 3)[3]
    return name == "manifest.json" or name.startswith((f"{manifest.attempt}/", f"{manifest.attempt}.run"))


def _idle(store: ArtifactStore, key: str, objects: list[ObjectInfo]) -> list[ObjectInfo]:
    """The objects, unless somebody works on the key right now."""
    return [] if objects and is_held(store.objects, key) else objects


def _old_runs(store: ArtifactStore, history: list[RunRecord], kept_runs: set[str]) -> Iterator[Garbage]:
    for record in history:
        if record.id not in kept_runs:
            objects = [*store.objects.list(f"runs/{record.id}/"), *store.objects.list(f"work/{record.id}/")]
            yield from _group(f"runs/{record.id}", "an old run", objects)


def _stale_work(store: ArtifactStore, committed: set[str], run_ids: set[str]) -> Iterator[Garbage]:
    """Checkpoints of committed work, and all of work that nobody has continued for a week.

    The lease of a committed artifact stays: its token names the attempt folder, and must go on growing.
    """
    groups: dict[str, list[ObjectInfo]] = {}
    for info in store.objects.list("work/"):
        groups.setdefault(info.key.split("/")[1], []).append(info)
    for key, objects in groups.items():
        if key == GC_LEASE or key in run_ids or is_held(store.objects, key):
            continue
        if key in committed:
            unfinished = [info for info in objects if not info.key.endswith("/lease.json")]
            yield from _group(f"work/{key}", "unfinished work whose result is committed", unfinished)
        elif max(info.modified for info in objects) < time.time() - RESUMABLE_S:
            yield from _group(f"work/{key}", "work that nobody has continued for a week", objects)


def _group(name: str, reason: str, objects: list[ObjectInfo]) -> Iterator[Garbage]:
    if objects:
        yield Garbage(name, reason, tuple(info.key for info in objects), sum(info.size for info in objects))
