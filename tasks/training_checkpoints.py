"""Checkpoints of a running training in the object store, for whichever machine continues it.

Layout, beside the lease::

    work/<key>/<attempt>/step-000200/<file>
    work/<key>/<attempt>/step-000200/checkpoint.json   the files with their digests, written last

An attempt writes into its own folder only, so one that lost its lease without noticing spoils nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field, ValidationError

from dualvla_core.params import Params
from infra.digests import digest_file
from infra.lease import LeaseLostError, LeaseRecord
from infra.object_store import MissingObjectError, ObjectStore

MANIFEST = "checkpoint.json"
_KEPT = 2


class Checkpoint(Params):
    """A complete checkpoint."""

    step: int = Field(description="Steps done.")
    processes: int = Field(description="How many processes wrote it.")
    files: dict[str, str] = Field(description="Digest of each file by relative path.")


class ObjectCheckpoints:
    """A `dualvla_core.training.CheckpointStore` for one attempt at one key.

    ``scratch`` receives the checkpoint of another machine.
    """

    def __init__(self, store: ObjectStore, key: str, attempt: str, processes: int, scratch: Path) -> None:
        self._store, self._key, self._attempt = store, key, attempt
        self._processes, self._scratch = processes, scratch

    def save(self, step: int, folder: Path) -> None:
        """Move ``folder``'s files into the store; the newest two checkpoints of the key are kept.

        Raises `LeaseLostError` once another attempt has taken over.
        """
        self._check_lease()
        prefix = f"work/{self._key}/{self._attempt}/step-{step:06d}"
        files = {}
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            name = path.relative_to(folder).as_posix()
            files[name] = digest_file(path)
            self._store.put_file(f"{prefix}/{name}", path, move=True)
        manifest = Checkpoint(step=step, processes=self._processes, files=files)
        self._store.put(f"{prefix}/{MANIFEST}", manifest.model_dump_json(indent=1).encode())
        for old, _ in list(complete_checkpoints(self._store, self._key))[_KEPT:]:
            _delete(self._store, old)

    def latest(self) -> tuple[int, Path] | None:
        """The furthest checkpoint of any attempt whose files are all there, unharmed."""
        for prefix, checkpoint in complete_checkpoints(self._store, self._key):
            folder = self._fetched(prefix, checkpoint)
            if folder is not None:
                return checkpoint.step, folder
        return None

    def _fetched(self, prefix: str, checkpoint: Checkpoint) -> Path | None:
        folder = self._store.local_path(prefix)
        if folder is None:
            folder = self._scratch / f"fetched-{checkpoint.step:06d}"
            try:
                for name in checkpoint.files:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    self._store.get_file(f"{prefix}/{name}", folder / name)
            except MissingObjectError:
                return None
        whole = all(
            (folder / name).is_file() and digest_file(folder / name) == digest
            for name, digest in checkpoint.files.items()
        )
        return folder if whole else None

    def _check_lease(self) -> None:
        record = LeaseRecord.model_validate_json(self._store.get(f"work/{self._key}/lease.json"))
        if self._attempt != f"attempt-{record.token:04d}":
            raise LeaseLostError(
                f"The training {self._key} was taken over by another process while this one did not answer; this one "
                "stops, and the other's result will be used."
            )


def complete_checkpoints(store: ObjectStore, key: str) -> Iterator[tuple[str, Checkpoint]]:
    """Folder and description of every complete checkpoint of a key, the furthest first."""
    found = []
    for info in store.list(f"work/{key}/"):
        if info.key.endswith(f"/{MANIFEST}"):
            try:
                found.append(
                    (info.key.removesuffix(f"/{MANIFEST}"), Checkpoint.model_validate_json(store.get(info.key)))
                )
            except (MissingObjectError, ValidationError):  # deleted meanwhile, or of another version: not complete
                continue
    yield from sorted(found, key=lambda each: (each[1].step, each[0]), reverse=True)


def discard_checkpoints(store: ObjectStore, key: str) -> None:
    """Delete every checkpoint of a key, whole or not: its training is committed."""
    _delete(store, f"work/{key}/attempt-")


def _delete(store: ObjectStore, prefix: str) -> None:
    keys = [info.key for info in store.list(prefix)]
    for key in sorted(keys, key=lambda key: not key.endswith(f"/{MANIFEST}")):  # first what makes it complete
        store.delete(key)
