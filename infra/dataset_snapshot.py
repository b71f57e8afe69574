"""A dataset in a bucket as a local folder that does not change while a run reads it."""

from __future__ import annotations

import functools
import os
from pathlib import Path

from dualvla_core.errors import DatasetError
from infra.digests import digest_json
from infra.local_store import replacing
from infra.object_store import ObjectInfo, ObjectStore, open_store


@functools.cache
def dataset_snapshot(uri: str, endpoint: str | None, cache: Path, run: str) -> Path:  # noqa: ARG001 - one look a run
    """Download what is new of a dataset, and return a folder of all its files; looked at once per run and process.

    Unchanged files are links to what an earlier snapshot downloaded. Raises `DatasetError` where there is no object.
    """
    store = open_store(uri, endpoint)
    objects = list(store.list(""))
    if not objects:
        raise DatasetError(f"There is nothing in {uri}; give the address of the folder that holds meta/info.json.")
    home = cache / "datasets" / digest_json(uri)[:20]
    folder = home / digest_json([_identity(info) for info in objects])[:20]
    for info in objects:
        target = folder / info.key
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(_downloaded(store, info, home / "files"), target)
    return folder


def _downloaded(store: ObjectStore, info: ObjectInfo, files: Path) -> Path:
    path = files / digest_json(_identity(info))[:40]
    if not path.exists():
        store.get_file(info.key, path)
    return path


def _identity(info: ObjectInfo) -> list[object]:
    return [info.key, info.size, info.modified]


def _link(source: Path, target: Path) -> None:
    """Link atomically; copy where the file system has no links."""
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        with source.open("rb") as read, replacing(target) as written:
            written.write(read.read())
