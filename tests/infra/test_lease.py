"""Leases: one holder at a time, takeover of the dead, and fencing of zombies."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra import lease as leases
from infra.lease import LeaseLostError, LeaseRecord, is_abandoned, try_acquire
from infra.object_store import ObjectStore, open_store


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path))


def record(**changes: object) -> LeaseRecord:
    base = LeaseRecord(token=1, host="elsewhere", pid=1, process_started=0.0, heartbeat=time.time())
    return base.model_copy(update=changes)


def put(objects: ObjectStore, value: LeaseRecord) -> None:
    objects.put("work/k/lease.json", value.model_dump_json().encode())


def test_a_held_lease_is_not_given_twice(objects: ObjectStore) -> None:
    first = try_acquire(objects, "k")
    assert first is not None
    assert try_acquire(objects, "k") is None
    first.release()
    second = try_acquire(objects, "k")
    assert second is not None
    assert (first.token, second.token) == (1, 2)
    assert second.attempt == "attempt-0002"
    second.release()


def test_a_silent_holder_elsewhere_is_given_up_only_after_twice_the_time_to_live() -> None:
    now = 1_000_000.0
    assert not is_abandoned(record(heartbeat=now - leases.LEASE_TTL_S), now)
    assert is_abandoned(record(heartbeat=now - 2 * leases.LEASE_TTL_S - 1), now)
    assert is_abandoned(record(heartbeat=now, released=True), now)


def test_a_killed_holder_on_this_host_is_succeeded_at_once(objects: ObjectStore, tmp_path: Path) -> None:
    code = (
        "from infra.lease import try_acquire; from infra.object_store import open_store; import sys, time\n"
        f"lease = try_acquire(open_store({str(tmp_path)!r}), 'k'); print(lease.token, flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "1"
    assert try_acquire(objects, "k") is None
    holder.kill()
    holder.wait()
    taken = try_acquire(objects, "k")
    assert taken is not None
    assert taken.token == 2
    taken.release()


def test_a_zombie_learns_that_it_lost(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.02)
    zombie = try_acquire(objects, "k")
    assert zombie is not None
    zombie.check()
    put(objects, record(token=2))  # a successor took over while the zombie slept
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and not zombie._lost.is_set():
        time.sleep(0.01)
    with pytest.raises(LeaseLostError, match="taken over"):
        zombie.check()
    zombie.release()
    assert LeaseRecord.model_validate_json(objects.get("work/k/lease.json")).token == 2  # untouched by the zombie


def test_the_heartbeat_renews(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_S", 0.02)
    held = try_acquire(objects, "k")
    assert held is not None
    first = LeaseRecord.model_validate_json(objects.get("work/k/lease.json")).heartbeat
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if LeaseRecord.model_validate_json(objects.get("work/k/lease.json")).heartbeat > first:
            break
        time.sleep(0.01)
    else:
        pytest.fail("no heartbeat was written")
    held.release()
