"""Pins: names under which artifacts and runs are kept from garbage collection."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import Field

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Params
from infra.object_store import MissingObjectError, ObjectStore
from infra.run_record import utc_now


class Pin(Params):
    """A name for something that must stay."""

    name: str = Field(description="The pin's name.")
    target: str = Field(description="STAGE/KEY of an artifact, or the id of a run.")
    pinned: str = Field(description="When, UTC.")


def pin(store: ObjectStore, name: str, target: str) -> None:
    """Keep ``target`` (STAGE/KEY or a run's id) under a name; a name that exists is moved."""
    store.put(_path(name), json.dumps({"target": target, "pinned": utc_now()}).encode())


def unpin(store: ObjectStore, name: str) -> None:
    """Let go of what is kept under a name; `ArtifactError` if nothing is."""
    if not store.exists(_path(name)):
        raise ArtifactError(f"There is no pin {name!r} in {store.uri}; `dualvla artifacts pin` lists them.")
    store.delete(_path(name))


def pins(store: ObjectStore) -> Iterator[Pin]:
    """Every pin, by name."""
    for info in store.list("pins/"):
        try:
            body = json.loads(store.get(info.key))
        except MissingObjectError:  # let go meanwhile
            continue
        yield Pin(name=info.key.removeprefix("pins/").removesuffix(".json"), **body)


def _path(name: str) -> str:
    return f"pins/{name}.json"
