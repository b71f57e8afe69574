"""Leases: who works on a key right now, with heartbeats, and tokens that fence off a zombie.

A lease lies at ``work/<key>/lease.json``. Its token grows with every taking, and names the folder the attempt
writes to: an attempt that lost its lease can only ever write into its own folder, and may not commit.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import Field

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Params
from infra.object_store import MissingObjectError, ObjectStore, StorageError

LEASE_TTL_S = 30.0
HEARTBEAT_S = 5.0
POLL_S = 0.5

log = logging.getLogger(__name__)


class LeaseLostError(ArtifactError):
    """Another attempt took over; this one must stop and must not commit."""


class LeaseRecord(Params):
    """What the lease object says."""

    token: int = Field(description="Grows with every taking.")
    host: str = Field(description="Host of the holder.")
    pid: int = Field(description="Process of the holder.")
    process_started: float = Field(description="When that process began (s since boot), against reused numbers.")
    heartbeat: float = Field(description="Last sign of life, unix s by the holder's clock.")
    released: bool = Field(default=False, description="The holder is done.")


def process_start(pid: int) -> float | None:
    """When a process of this host began (clock ticks since boot; 0.0 where the system does not tell), None if gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - procfs
            return float(file.read().rpartition(b")")[2].split()[19])
    except OSError:
        return 0.0


class Lease:
    """A lease this process holds; a thread of its own keeps it alive until it is released."""

    def __init__(self, store: ObjectStore, key: str, record: LeaseRecord) -> None:
        self._store, self._key, self._record = store, key, record
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lease-{key}", daemon=True)
        self._thread.start()

    @property
    def token(self) -> int:
        """The fencing token."""
        return self._record.token

    @property
    def attempt(self) -> str:
        """The name of the folder this attempt writes to."""
        return f"attempt-{self._record.token:04d}"

    def check(self) -> None:
        """Raise `LeaseLostError` if another attempt has taken over."""
        if self._lost.is_set():
            raise LeaseLostError(
                f"The work on {self._key} was taken over by another process while this one did not answer; "
                "its result is discarded, and the other's will be used."
            )

    def release(self) -> None:
        """Stop the heartbeat and mark the lease as free; the token stays, so that it keeps growing."""
        self._stop.set()
        self._thread.join()
        if not self._lost.is_set():
            try:
                self._write(self._record.model_copy(update={"released": True}))
            except StorageError as error:  # must not hide why the work ended; an unreleased lease times out
                log.warning("The lease on %s could not be released: %s", self._key, error)

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_S):
            try:
                renewed = self._write(self._record.model_copy(update={"heartbeat": time.time()}))
            except Exception as error:  # noqa: BLE001 - a store that is away for a moment must not end the beat
                log.warning("The lease on %s could not be renewed (%s); trying again.", self._key, error)
                continue
            if not renewed:
                self._lost.set()
                return

    def _write(self, record: LeaseRecord) -> bool:
        found = _read(self._store, self._key)
        if found is None or found[0].token != self._record.token:
            return False
        return self._store.replace_if(_path(self._key), record.model_dump_json().encode(), found[1])


def _path(key: str) -> str:
    return f"work/{key}/lease.json"


def _read(store: ObjectStore, key: str) -> tuple[LeaseRecord, str] | None:
    try:
        data, tag = store.get_tagged(_path(key))
    except MissingObjectError:
        return None
    return LeaseRecord.model_validate_json(data), tag


def _own_record(token: int) -> LeaseRecord:
    pid = os.getpid()
    return LeaseRecord(
        token=token,
        host=socket.gethostname(),
        pid=pid,
        process_started=process_start(pid) or 0.0,
        heartbeat=time.time(),
    )


def is_abandoned(record: LeaseRecord, now: float) -> bool:
    """Whether a holder is gone: released, dead on this host, or silent for longer than clocks differ."""
    if record.released:
        return True
    if record.host == socket.gethostname() and process_start(record.pid) != record.process_started:
        return True
    return now - record.heartbeat > 2 * LEASE_TTL_S


def is_held(store: ObjectStore, key: str) -> bool:
    """Whether somebody who is alive holds the lease."""
    found = _read(store, key)
    return found is not None and not is_abandoned(found[0], time.time())


def try_acquire(store: ObjectStore, key: str) -> Lease | None:
    """Take the lease if nobody holds it; None while another process does."""
    found = _read(store, key)
    if found is None:
        record = _own_record(1)
        taken = store.put_if_absent(_path(key), record.model_dump_json().encode())
    else:
        old, tag = found
        if not is_abandoned(old, time.time()):
            return None
        record = _own_record(old.token + 1)
        taken = store.replace_if(_path(key), record.model_dump_json().encode(), tag)
    return Lease(store, key, record) if taken else None


@contextmanager
def held(lease: Lease) -> Iterator[Lease]:
    """Hold a lease for the duration of a block, and free it however the block ends."""
    try:
        yield lease
    finally:
        lease.release()
