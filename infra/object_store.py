"""Where artifacts live: one small protocol over a local directory and S3-compatible object stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from dualvla_core.errors import UserError

RESERVED_FOLDER = ".inflight"
"""A store's own top-level folder for writes under way, locks and probes; no key may lie in it, no list shows it."""

_LONGEST_KEY = 1024  # bytes of UTF-8, the limit of S3
_LONGEST_PART = 255  # bytes of UTF-8, the limit of common file systems


class StorageError(UserError):
    """A store that cannot do what was asked: unreachable, full, read-only, or refusing the credentials."""


class MissingObjectError(StorageError):
    """A key under which the store holds nothing."""


def missing_object(key: str, place: object) -> MissingObjectError:
    """The error of a key that the store at ``place`` does not hold."""
    return MissingObjectError(
        f"There is no object {key!r} in {place}; check the store address, or run the stage that makes it."
    )


@dataclass(frozen=True)
class ObjectInfo:
    """One stored object: its key, its size in bytes and when it was last written (Unix time, s)."""

    key: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """Named byte strings with atomic writes: readers see an object whole, in its old or its new state, or not at all.

    Keys are relative POSIX paths (`check_key`). A key must not be a folder of another one ("a" beside "a/b"): a local
    directory cannot hold both and refuses the second; S3 could, so only the local store checks. Every method raises
    `StorageError` with one sentence when the store cannot be used.
    """

    @property
    def uri(self) -> str:
        """The address that `open_store` opens this store by."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Write an object, replacing the one there."""
        ...

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key exists; of any number of racing writers exactly one is told True."""
        ...

    def replace_if(self, key: str, data: bytes, tag: str) -> bool:
        """Replace an object if it still has the ``tag`` of `get_tagged`; False when it has changed or is gone."""
        ...

    def get(self, key: str) -> bytes:
        """The bytes of an object; raises `MissingObjectError`."""
        ...

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """The bytes of an object and the tag of this content for `replace_if`; raises `MissingObjectError`."""
        ...

    def put_file(self, key: str, path: Path, *, move: bool = False) -> None:
        """Write the content of a file, replacing the object there; with ``move`` the file is gone afterwards.

        Moving within one file system is a rename. When the write fails the file is left where it is.
        """
        ...

    def get_file(self, key: str, path: Path) -> None:
        """Write an object to ``path`` atomically and durably, replacing a file there; raises `MissingObjectError`."""
        ...

    def exists(self, key: str) -> bool:
        """Whether the store holds an object under exactly this key."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose key starts with ``prefix`` (any string: "a/b" also finds "a/bc"), in the order of keys."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
        ...

    def local_path(self, key: str) -> Path | None:
        """Where the object can be read in place, never written, or None for a remote store; it need not exist."""
        ...


def check_key(key: str) -> str:
    """Return ``key`` if every store can hold it: a relative path without empty, "." or ".." parts; else raise."""
    parts = key.split("/")
    if (
        any(part in {"", ".", ".."} or len(part.encode()) > _LONGEST_PART for part in parts)
        or parts[0] == RESERVED_FOLDER
        or "\\" in key
        or not key.isprintable()
        or len(key.encode()) > _LONGEST_KEY
    ):
        raise StorageError(
            f"The object key {key!r} cannot be stored: expected names joined by single slashes, none of them empty, "
            f"'.' or '..', without backslashes or control characters, outside {RESERVED_FOLDER}/, each at most "
            f"{_LONGEST_PART} and together at most {_LONGEST_KEY} bytes; choose another key."
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return ``prefix`` if keys can start with it (the empty prefix stands for all); else raise."""
    if "/" in prefix:
        check_key(prefix.rpartition("/")[0])
    return prefix


def open_store(uri: str, endpoint_url: str | None = None) -> ObjectStore:
    """Open the store at "file:///dir", a bare path, or "s3://bucket/prefix".

    ``endpoint_url`` is the address of an S3-compatible service; None is Amazon's own. Credentials come from boto3's
    usual chain (environment, profile, instance role). Nothing is created before the first write. Raises `StorageError`
    for an address that names no store.
    """
    scheme, separator, _ = uri.partition("://")
    if not separator:
        scheme = "file"
    if scheme not in _OPENERS:
        raise StorageError(
            f"The store address {uri!r} has the unknown scheme {scheme!r}: expected a folder, file:///FOLDER or "
            "s3://BUCKET/PREFIX."
        )
    return _OPENERS[scheme](uri, endpoint_url)


def _open_local(uri: str, _endpoint_url: str | None) -> ObjectStore:
    from infra.local_store import LocalObjectStore  # noqa: PLC0415 - the stores import this module

    if not uri:
        raise StorageError("The store address is empty: expected a folder, file:///FOLDER or s3://BUCKET/PREFIX.")
    if "://" not in uri:
        return LocalObjectStore(Path(uri).expanduser().absolute())
    parts = urlsplit(uri)
    if parts.netloc not in {"", "localhost"} or not parts.path:
        raise StorageError(f"The store address {uri!r} names a host: expected file:///FOLDER, with three slashes.")
    return LocalObjectStore(Path(unquote(parts.path)))


def _open_s3(uri: str, endpoint_url: str | None) -> ObjectStore:
    from infra.s3_store import S3ObjectStore  # noqa: PLC0415 - boto3 takes long to import and a local store needs none

    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    if not bucket:
        raise StorageError(f"The store address {uri!r} names no bucket: expected s3://BUCKET/PREFIX.")
    return S3ObjectStore(bucket, prefix.strip("/"), endpoint_url)


_OPENERS: dict[str, Callable[[str, str | None], ObjectStore]] = {"file": _open_local, "s3": _open_s3}
