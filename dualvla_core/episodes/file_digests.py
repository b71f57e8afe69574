"""SHA-256 of a dataset's files, remembered so that unchanged files are not read again."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dualvla_core.errors import ArtifactError


class FileDigests:
    """Remembers the SHA-256 of a dataset's files by relative path, size and modification time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, int, str]] = {}

    @classmethod
    def load(cls, path: Path) -> FileDigests:
        """What `save` wrote; nothing remembered when there is no such file. Raises `ArtifactError` if it is broken."""
        memo = cls()
        if path.is_file():
            try:
                entries = json.loads(path.read_text(encoding="utf-8"))
                memo._known = {name: (int(size), int(mtime), str(sha)) for name, (size, mtime, sha) in entries.items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise ArtifactError(f"{path} does not hold remembered file digests; delete it.") from error
        return memo

    def save(self, path: Path) -> None:
        """Write everything remembered as JSON; a reader never sees half a file."""
        temporary = path.with_name(path.name + ".partial")
        temporary.write_text(json.dumps(self._known, sort_keys=True), encoding="utf-8")
        temporary.replace(path)

    def sha256(self, dataset: Path, file: Path) -> str:
        """The hex SHA-256 of ``file``, which lies in the folder ``dataset``."""
        name = file.relative_to(dataset).as_posix()
        state = file.stat()
        known = self._known.get(name)
        if known is None or known[:2] != (state.st_size, state.st_mtime_ns):
            with file.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            known = self._known[name] = (state.st_size, state.st_mtime_ns, digest)
        return known[2]


def dataset_files_digest(dataset: Path, memo: FileDigests) -> str:
    """One SHA-256 over the paths and contents of all files of a dataset; hidden files and folders do not count."""
    digest = hashlib.sha256()
    names = sorted(file.relative_to(dataset).as_posix() for file in dataset.rglob("*") if file.is_file())
    for name in names:
        if not any(part.startswith(".") for part in name.split("/")):
            digest.update(f"{name}\0{memo.sha256(dataset, dataset / name)}\n".encode())
    return digest.hexdigest()
