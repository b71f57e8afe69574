"""The artifact store: content-addressed results of stages over any object store.

Layout::

    artifacts/<stage>/<key>/manifest.json          the commit, written last
    artifacts/<stage>/<key>/attempt-0001/<file>    the payload
    artifacts/<stage>/<key>/attempt-0001.run.json  when, where and how long; no part of the payload
    artifacts/<stage>/<key>/attempt-0001.run/      timings of it, where the stage takes any; no part of it either
    work/<key>/lease.json                          who works on it right now

An attempt writes only into its own folder, so no writer ever touches a file of another, and a reader that
follows a manifest never sees a half-written artifact.
"""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Summary
from infra.digests import digest_file
from infra.lease import Lease
from infra.manifest import (
    MANIFEST_FORMAT,
    ArtifactRef,
    FileEntry,
    Manifest,
    StageRequest,
    payload_digest,
    read_manifest,
)
from infra.object_store import MissingObjectError, ObjectStore, StorageError


class CorruptArtifactError(ArtifactError):
    """An object whose bytes are not those that were committed."""


def artifact_prefix(stage: str, key: str) -> str:
    """Where an artifact's objects lie."""
    return f"artifacts/{stage}/{key}"


class ArtifactStore:
    """Finds, commits and opens artifacts.

    ``cache`` is a local folder for drafts and for copies of remote payloads; it may be deleted at any time.
    ``s3_endpoint`` is where buckets are looked for, and ``run`` the run that asks.
    """

    def __init__(self, store: ObjectStore, cache: Path, s3_endpoint: str | None = None, run: str = "") -> None:
        self.objects = store
        self.cache = cache
        self.s3_endpoint, self.run = s3_endpoint, run
        self._verified: set[str] = set()
        self._lock = threading.Lock()

    def find(self, stage: str, key: str) -> Manifest | None:
        """The manifest of a committed artifact, or None."""
        path = f"{artifact_prefix(stage, key)}/manifest.json"
        try:
            return read_manifest(self.objects.get(path), path)
        except MissingObjectError:
            return None

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """The manifest of an artifact that must exist; `ArtifactError` if it is gone or was replaced."""
        manifest = self.find(ref.stage, ref.key)
        if manifest is None or manifest.digest != ref.digest:
            found = "nothing" if manifest is None else f"payload {manifest.digest}"
            raise ArtifactError(f"{ref} should hold payload {ref.digest}, found {found}; run the stage again.")
        return manifest

    def manifests(self, stage: str = "", recipe: str = "") -> Iterator[Manifest]:
        """Every committed artifact, of one stage and recipe when given, in the order of the keys."""
        prefix = f"artifacts/{stage}/{recipe}" if stage else "artifacts/"
        for info in self.objects.list(prefix):
            if info.key.endswith("/manifest.json") and info.key.count("/") == 3:
                yield read_manifest(self.objects.get(info.key), info.key)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """An empty local folder to write a payload into; it is removed when the block ends.

        Raises `StorageError` when the disk fills up meanwhile.
        """
        drafts = self.cache / "drafts"
        drafts.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=drafts))
        try:
            yield folder
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise StorageError(
                f"The disk that holds {self.cache} became full while a result was written to it; free some space and "
                "run again: what is committed is not computed again."
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self,
        request: StageRequest,
        payload: Path,
        summary: Summary,
        lease: Lease,
        run: Mapping[str, Any],
        timings: Path | None = None,
        *,
        replace: bool,
    ) -> Manifest:
        """Store a payload folder and commit it; of several commits of one key, one wins and all return it.

        ``run`` and the files of the folder ``timings`` tell of this execution: they are kept beside the payload and
        enter no digest. With ``replace`` an existing commit is replaced (a forced stage), atomically.
        """
        prefix = artifact_prefix(request.stage, request.key)
        files = {}
        for path in sorted(p for p in payload.rglob("*") if p.is_file()):
            name = path.relative_to(payload).as_posix()
            files[name] = FileEntry(digest=digest_file(path), size=path.stat().st_size)
            self.objects.put_file(f"{prefix}/{lease.attempt}/{name}", path, move=True)
        for path in sorted(timings.iterdir()) if timings is not None else ():
            self.objects.put_file(f"{prefix}/{lease.attempt}.run/{path.name}", path, move=True)
        self.objects.put(f"{prefix}/{lease.attempt}.run.json", json.dumps(run, indent=1, sort_keys=True).encode())
        manifest = Manifest(
            format=MANIFEST_FORMAT,
            request=request,
            key=request.key,
            attempt=lease.attempt,
            files=files,
            summary=summary,
            digest=payload_digest(files, summary),
        )
        lease.check()
        path_of_commit = f"{prefix}/manifest.json"
        if replace:
            self.objects.put(path_of_commit, manifest.to_json())
        elif not self.objects.put_if_absent(path_of_commit, manifest.to_json()):
            return read_manifest(self.objects.get(path_of_commit), path_of_commit)
        return manifest

    def run_record(self, manifest: Manifest) -> dict[str, Any]:
        """When, where and how long the committed attempt ran."""
        record: dict[str, Any] = json.loads(
            self.objects.get(f"{artifact_prefix(manifest.request.stage, manifest.key)}/{manifest.attempt}.run.json")
        )
        return record

    def timings(self, manifest: Manifest, name: str) -> bytes:
        """A file of timings of the committed attempt. Raises `MissingObjectError` when it took none."""
        prefix = artifact_prefix(manifest.request.stage, manifest.key)
        return self.objects.get(f"{prefix}/{manifest.attempt}.run/{name}")

    def folder(self, ref: ArtifactRef) -> Path:
        """The payload as a local folder to read from: in place where the store is a folder, else a cached copy.

        Every file's bytes are checked against the commit once per process. A file that differs withdraws the
        artifact, so that the next run recomputes it, and raises `CorruptArtifactError`.
        """
        manifest = self.manifest(ref)
        prefix = f"{artifact_prefix(ref.stage, ref.key)}/{manifest.attempt}"
        with self._lock:
            folder = self.objects.local_path(prefix) or self._fetch(manifest, prefix)
            if f"{ref}{ref.digest}" not in self._verified:
                self._verify(manifest, prefix, folder)
                self._verified.add(f"{ref}{ref.digest}")
        return folder

    def read(self, manifest: Manifest, name: str) -> bytes:
        """One file of a payload, checked, without fetching the others; raises `CorruptArtifactError`."""
        prefix = f"{artifact_prefix(manifest.request.stage, manifest.key)}/{manifest.attempt}"
        data = self.objects.get(f"{prefix}/{name}")
        if hashlib.sha256(data).hexdigest() != manifest.files[name].digest:
            raise self._withdrawn(manifest, f"{prefix}/{name}", "other bytes", manifest.files[name].digest)
        return data

    def verify(self, manifest: Manifest) -> tuple[str, ...]:
        """Read a payload from the store itself, past any copy; the keys of the objects that are gone or differ.

        A damaged artifact is withdrawn, so that the next run computes it anew.
        """
        name_of = artifact_prefix(manifest.request.stage, manifest.key)
        damaged = []
        for name, entry in manifest.files.items():
            key = f"{name_of}/{manifest.attempt}/{name}"
            if self._digest_of(key) != entry.digest:
                damaged.append(key)
        if damaged:
            self.objects.delete(f"{name_of}/manifest.json")
        return tuple(damaged)

    def _digest_of(self, key: str) -> str:
        """The digest of an object's bytes; empty where there is none."""
        path = self.objects.local_path(key)
        try:
            if path is not None:
                return digest_file(path) if path.is_file() else ""
            with self.draft() as folder:
                self.objects.get_file(key, folder / "object")
                return digest_file(folder / "object")
        except MissingObjectError:
            return ""

    def _fetch(self, manifest: Manifest, prefix: str) -> Path:
        folder = self.cache / "payloads" / manifest.request.stage / manifest.key / manifest.digest
        for name, entry in manifest.files.items():
            target = folder / name
            if not target.exists() or target.stat().st_size != entry.size:
                target.parent.mkdir(parents=True, exist_ok=True)
                self.objects.get_file(f"{prefix}/{name}", target)
        return folder

    def _verify(self, manifest: Manifest, prefix: str, folder: Path) -> None:
        for name, entry in manifest.files.items():
            path = folder / name
            found = digest_file(path) if path.exists() else "nothing"
            if found == entry.digest:
                continue
            if self.objects.local_path(prefix) is None:
                path.unlink(missing_ok=True)
            raise self._withdrawn(manifest, f"{prefix}/{name}", found, entry.digest)

    def _withdrawn(self, manifest: Manifest, key: str, found: str, committed: str) -> CorruptArtifactError:
        """Take back a commit whose object is damaged; the error that says so."""
        self.objects.delete(f"{artifact_prefix(manifest.request.stage, manifest.key)}/manifest.json")
        return CorruptArtifactError(
            f"{key} holds {found}, but {committed} was committed; the artifact was withdrawn: "
            "run again, and it will be computed anew."
        )
