"""Checkpoints in the object store: the furthest whole one is found, the newest two are kept, zombies are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.lease import Lease, LeaseLostError, try_acquire
from infra.local_store import LocalObjectStore
from infra.object_store import ObjectStore
from tasks.training_checkpoints import ObjectCheckpoints, complete_checkpoints, discard_checkpoints

KEY = "recipe-inputs"


class Elsewhere(LocalObjectStore):
    """A store whose objects cannot be read in place."""

    def local_path(self, key: str) -> Path | None:  # type: ignore[override]
        return None


@pytest.fixture(params=[LocalObjectStore, Elsewhere])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    opened: ObjectStore = request.param(tmp_path / "store")
    return opened


def lease(store: ObjectStore) -> Lease:
    taken = try_acquire(store, KEY)
    assert taken is not None
    return taken


def checkpoints(store: ObjectStore, attempt: Lease, scratch: Path) -> ObjectCheckpoints:
    return ObjectCheckpoints(store, KEY, attempt.attempt, processes=2, scratch=scratch / attempt.attempt)


def state(folder: Path, content: str) -> Path:
    (folder / "state").mkdir(parents=True)
    (folder / "state" / "rank-0.pt").write_text(content)
    (folder / "metrics.jsonl").write_text("{}")
    return folder


def read(latest: tuple[int, Path] | None) -> tuple[int, str]:
    assert latest is not None
    return latest[0], (latest[1] / "state" / "rank-0.pt").read_text()


def steps(store: ObjectStore) -> list[int]:
    return [checkpoint.step for _, checkpoint in complete_checkpoints(store, KEY)]


def test_the_newest_two_are_kept_and_the_furthest_is_found(store: ObjectStore, tmp_path: Path) -> None:
    held = lease(store)
    kept = checkpoints(store, held, tmp_path)
    assert kept.latest() is None
    for step in (90, 100, 1_000_000):
        kept.save(step, state(tmp_path / f"{step}", f"after {step}"))
    assert steps(store) == [1_000_000, 100]
    assert not [info.key for info in store.list(f"work/{KEY}/{held.attempt}/step-000090")]
    assert read(kept.latest()) == (1_000_000, "after 1000000")
    held.release()


def test_another_attempt_continues_from_the_first_ones_and_replaces_them(store: ObjectStore, tmp_path: Path) -> None:
    first = lease(store)
    checkpoints(store, first, tmp_path).save(10, state(tmp_path / "a", "first"))
    first.release()
    second = lease(store)
    kept = checkpoints(store, second, tmp_path)
    assert read(kept.latest()) == (10, "first")
    for step in (20, 30):
        kept.save(step, state(tmp_path / f"{step}", "second"))
    assert steps(store) == [30, 20]
    assert read(kept.latest()) == (30, "second")
    second.release()


@pytest.mark.parametrize("harm", ["changed", "missing", "unfinished"])
def test_a_harmed_checkpoint_is_passed_over(store: ObjectStore, tmp_path: Path, harm: str) -> None:
    held = lease(store)
    kept = checkpoints(store, held, tmp_path)
    kept.save(10, state(tmp_path / "10", "whole"))
    kept.save(20, state(tmp_path / "20", "harmed"))
    prefix = f"work/{KEY}/{held.attempt}/step-000020"
    if harm == "changed":
        store.put(f"{prefix}/state/rank-0.pt", b"other bytes")
    elif harm == "missing":
        store.delete(f"{prefix}/state/rank-0.pt")
    else:
        store.delete(f"{prefix}/checkpoint.json")
    assert read(kept.latest()) == (10, "whole")
    held.release()


def test_an_attempt_that_lost_its_lease_saves_nothing(store: ObjectStore, tmp_path: Path) -> None:
    first = lease(store)
    zombie = checkpoints(store, first, tmp_path)
    first.release()
    second = lease(store)
    with pytest.raises(LeaseLostError, match="taken over by another process"):
        zombie.save(10, state(tmp_path / "a", "late"))
    assert steps(store) == []
    second.release()


def test_discarding_leaves_the_lease_and_other_keys(store: ObjectStore, tmp_path: Path) -> None:
    held = lease(store)
    checkpoints(store, held, tmp_path).save(10, state(tmp_path / "a", "x"))
    store.put("work/other/attempt-0001/step-000001/state", b"kept")
    discard_checkpoints(store, KEY)
    assert [info.key for info in store.list("work/")] == [
        "work/other/attempt-0001/step-000001/state",
        f"work/{KEY}/lease.json",
    ]
    held.release()
