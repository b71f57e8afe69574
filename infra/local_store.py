"""An object store in a local directory: temporary name, fsync, rename; links and locks where writers race."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from infra.object_store import (
    RESERVED_FOLDER,
    MissingObjectError,
    ObjectInfo,
    StorageError,
    check_key,
    check_prefix,
    missing_object,
)

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_ABANDONED_AFTER = 24 * 3600.0  # s since the last byte; a living writer pauses for seconds
_PUBLISH_ATTEMPTS = 100


class LocalObjectStore:
    """An `ObjectStore` whose objects are plain files below ``root``, at the path of their key."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = root.as_uri()
        self._inflight = root / RESERVED_FOLDER
        self._remove_abandoned()

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing the one there."""
        with self._written(key, lambda file: file.write(data)) as temporary, self._locked(key):
            self._publish(temporary, key, os.replace)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key exists; a hard link cannot replace a name, so one writer wins."""
        if self.exists(key):
            return False
        with self._written(key, lambda file: file.write(data)) as temporary:
            return self._publish(temporary, key, os.link)

    def replace_if(self, key: str, data: bytes, tag: str) -> bool:
        """Replace an object if its content still has this tag; writers and deleters of a key exclude each other."""
        with self._written(key, lambda file: file.write(data)) as temporary, self._locked(key):
            try:
                unchanged = self.get_tagged(key)[1] == tag
            except MissingObjectError:
                return False
            if unchanged:
                self._publish(temporary, key, os.replace)
            return unchanged

    def get(self, key: str) -> bytes:
        """The bytes of an object."""
        with self._reading(key):
            return self._path(key).read_bytes()

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """The bytes of an object and their SHA-256."""
        data = self.get(key)
        return data, hashlib.sha256(data).hexdigest()

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """Write the content of a file; with ``move`` it is renamed into the store where the file system allows it."""
        if move and self._renamed(key, path):
            return
        with _explained(f"read {path}", path):
            source = path.open("rb")
        with (
            source,
            self._written(key, lambda file: shutil.copyfileobj(source, file, 1 << 20)) as temporary,
            self._locked(key),
        ):
            self._publish(temporary, key, os.replace)
        if move:
            path.unlink()

    def get_file(self, key: str, path: Path) -> None:
        """Copy an object to ``path`` through a temporary name beside it."""
        with self._reading(key):
            source = self._path(key).open("rb")
        with source, replacing(path) as file:
            shutil.copyfileobj(source, file, 1 << 20)

    def exists(self, key: str) -> bool:
        """Whether there is a file under this key."""
        with _explained(f"look for object {key!r}", self.root):
            return self._path(key).is_file()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose key starts with ``prefix``, in the order of keys."""
        yield from self._walk(check_prefix(prefix).rpartition("/")[0], prefix)

    def delete(self, key: str) -> None:
        """Remove an object, and the folders that held nothing else."""
        path = self._path(key)
        if not self.exists(key):
            return
        with _explained(f"delete object {key!r}", self.root), self._locked(key):
            path.unlink(missing_ok=True)
            with suppress(OSError):  # the first folder that still holds something, or is gone already, ends this
                sync_folder(path.parent)
                for folder in path.relative_to(self.root).parents[:-1]:
                    (self.root / folder).rmdir()

    def local_path(self, key: str) -> Path:
        """The file of this key, to be read in place."""
        return self._path(key)

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    @contextmanager
    def _written(self, key: str, fill: Callable[[BinaryIO], object]) -> Iterator[Path]:
        """A synced temporary file with what ``fill`` writes; removed on the way out unless it was renamed."""
        check_key(key)
        temporary = self._inflight / uuid4().hex
        with _explained(f"write object {key!r}", self.root):
            _make_folder(self._inflight)
            try:
                with temporary.open("xb") as file:
                    fill(file)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary
            finally:
                temporary.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Exclude other writers and deleters of this key, in threads and processes; 256 locks serve all keys."""
        lock = self._inflight / "locks" / hashlib.sha256(key.encode()).hexdigest()[:2]
        _make_folder(lock.parent)
        with lock.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)  # closing would not do when a fork shares the descriptor

    def _publish(self, source: Path, key: str, rename: Callable[[Path, Path], None]) -> bool:
        """Give a synced file the name of its key, durably; False when the name is taken and `os.link` is to give it."""
        target = self._path(key)
        for attempt in range(_PUBLISH_ATTEMPTS):
            try:
                self._make_room(key, target)
                rename(source, target)
                sync_folder(target.parent)
            except FileExistsError:
                return False
            except FileNotFoundError:  # a deleter found the folder empty and removed it
                if attempt == _PUBLISH_ATTEMPTS - 1 or not source.exists():
                    raise
            else:
                break
        return True

    def _make_room(self, key: str, target: Path) -> None:
        """Make the folder of a new object; refuse a key that is a folder of others, or lies below another."""
        try:
            _make_folder(target.parent)
            if target.is_dir():
                target.rmdir()  # an empty one is what an interrupted write left
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno not in {errno.EEXIST, errno.ENOTDIR, errno.ENOTEMPTY}:
                raise
            other = next((p for p in target.parents if p.is_file()), target).relative_to(self.root).as_posix()
            held = "there are objects below it" if other == key else f"{other!r} is an object itself"
            raise StorageError(
                f"Cannot write object {key!r} to {self.root}: {held}, and no key may be a folder of another; choose a "
                "key beside it."
            ) from error

    def _renamed(self, key: str, path: Path) -> bool:
        """Move a regular file into the store by a rename; False when only a copy can bring it there."""
        if path.is_symlink() or not path.is_file():
            return False
        with _explained(f"write object {key!r}", self.root):
            _make_folder(self._inflight)
            if path.stat().st_dev != self._inflight.stat().st_dev:
                return False
            with path.open("rb") as file:
                os.fsync(file.fileno())
            try:
                with self._locked(key):
                    self._publish(path, key, os.replace)
            except OSError as error:
                if error.errno == errno.EXDEV:  # bind mounts share a device number and still cannot be renamed across
                    return False
                raise
        return True

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with _explained(f"read object {key!r}", self.root):
            try:
                yield
            except _ABSENT as error:
                raise missing_object(key, self.root) from error

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        """Objects in ``folder`` and below; a folder sorts as its name with a slash, as S3 orders whole keys."""
        with _explained(f"list {folder or 'the objects'!r}", self.root):
            try:
                with os.scandir(self.root / folder) as found:
                    entries = [(entry, entry.is_dir(follow_symlinks=False)) for entry in found]
            except _ABSENT:
                return
        for entry, is_folder in sorted(entries, key=lambda pair: pair[0].name + "/" * pair[1]):
            key = f"{folder}/{entry.name}" if folder else entry.name
            if key == RESERVED_FOLDER or not key.startswith(prefix):
                continue
            if is_folder:
                yield from self._walk(key, prefix)
            elif entry.is_file():
                with suppress(FileNotFoundError):  # deleted since the folder was read
                    status = entry.stat()
                    yield ObjectInfo(key, status.st_size, status.st_mtime)

    def _remove_abandoned(self) -> None:
        """Remove what writers that were killed left behind."""
        with suppress(OSError), os.scandir(self._inflight) as entries:
            for entry in entries:
                if entry.is_file() and time.time() - entry.stat().st_mtime > _ABANDONED_AFTER:
                    Path(entry).unlink(missing_ok=True)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of ``path``, synced, when the block ends well, and vanishes when it fails.

    Raises `StorageError` when the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex}")
    with _explained(f"write {path}", path.parent):
        _make_folder(path.parent)
        try:
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power loss."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and its parents durably; an error names the first path that stands in the way."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_folder(folder.parent)


@contextmanager
def _explained(action: str, place: Path) -> Iterator[None]:
    """Turn what the file system says into one sentence."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"Cannot {action} in {place}: {_reason(error, place)}.") from error


def _reason(error: OSError, place: Path) -> str:
    """What the file system found, and what to do about it."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "the disk is full or the quota used up; free some space or choose a store elsewhere"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "this user may not write there; correct the permissions or choose a store elsewhere"
        case errno.EEXIST | errno.ENOTDIR:
            return f"{error.filename or place} is a file where a folder is expected; remove it or choose another folder"
        case _:
            return f"the file system says {error.strerror!r}; check the disk or choose a store elsewhere"
