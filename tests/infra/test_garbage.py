"""Garbage: named with a reason, and never what a pin, a recent run or somebody at work needs; on both backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.errors import ArtifactError
from infra.artifact_store import ArtifactStore
from infra.garbage import collecting, delete_garbage, find_garbage
from infra.lease import held, try_acquire
from infra.manifest import ArtifactRef, Manifest, StageRequest
from infra.object_store import open_store
from infra.pins import pin, pins, unpin
from infra.run_record import RunRecord, Use, find_run, is_alive, mark_use, save_run, uses
from tests.seaweedfs import S3Service


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArtifactStore:
    if request.param == "folder":
        return ArtifactStore(open_store(str(tmp_path / "store")), tmp_path / "cache")
    service: S3Service = request.getfixturevalue("s3_service")
    return ArtifactStore(open_store(f"s3://{service.make_bucket()}/team", service.endpoint_url), tmp_path / "cache")


def commit(store: ArtifactStore, stage: str, value: int, *inputs: ArtifactRef, replace: bool = False) -> ArtifactRef:
    request = StageRequest(stage=stage, version=1, params={"value": value}, inputs={"made_from": inputs}, facts={})
    lease = try_acquire(store.objects, request.key)
    assert lease is not None
    with held(lease), store.draft() as folder:
        (folder / "data").write_text(f"{stage} {value}")
        return store.commit(request, folder, {}, lease, {}, replace=replace).ref


def record(store: ArtifactStore, number: int, *refs: ArtifactRef, state: str = "completed") -> RunRecord:
    run = RunRecord.model_validate(
        {
            "id": f"2026112{number}-000000-curate-x-0000",
            "flow": "curate",
            "name": "x",
            "config": {},
            "host": "h",
            "started": f"2026-11-2{number}T00:00:00+00:00",
            "state": state,
        }
    )
    save_run(store.objects, run)
    for ref in refs:
        mark_use(store.objects, run.id, Use(ref=ref, executed=True, reason="new"))
    return run


def names(store: ArtifactStore, keep_last: int) -> dict[str, str]:
    return {garbage.name: garbage.reason for garbage in find_garbage(store, keep_last)}


def remaining(store: ArtifactStore) -> set[str]:
    return {str(manifest.ref) for manifest in store.manifests()}


def test_an_old_run_lets_go_of_its_artifacts_and_a_recent_one_keeps_all_it_reaches(store: ArtifactStore) -> None:
    root = commit(store, "decode", 1)
    old, new = commit(store, "prune", 1, root), commit(store, "prune", 2, root)
    first = record(store, 1, root, old)
    record(store, 2, new)  # reaches the root through what `new` was made from
    assert names(store, 2) == {}
    found = list(find_garbage(store, 1))
    assert {each.name: each.reason for each in found} == {
        str(old): "no pinned or recent run reaches it",
        f"runs/{first.id}": "an old run",
    }
    delete_garbage(store, found)
    assert remaining(store) == {str(root), str(new)}
    assert names(store, 1) == {}
    assert [info.key for info in store.objects.list(f"artifacts/{old}/")] == []


def test_pins_keep_an_artifact_and_what_it_was_made_from_until_they_are_removed(store: ArtifactStore) -> None:
    root = commit(store, "decode", 1)
    old = commit(store, "prune", 1, root)
    run = record(store, 1, root, old)
    record(store, 2)
    pin(store.objects, "current/x", str(old))
    assert set(names(store, 1)) == {f"runs/{run.id}"}
    pin(store.objects, run.id, run.id)
    assert names(store, 1) == {}
    assert {each.name for each in pins(store.objects)} == {"current/x", run.id}
    unpin(store.objects, "current/x")
    unpin(store.objects, run.id)
    assert set(names(store, 1)) == {str(root), str(old), f"runs/{run.id}"}
    with pytest.raises(ArtifactError, match="no pin 'current/x'"):
        unpin(store.objects, "current/x")


def test_attempts_that_were_killed_or_replaced_are_garbage_unless_somebody_is_at_work(store: ArtifactStore) -> None:
    kept = commit(store, "decode", 1)
    record(store, 1, kept)
    store.objects.put(f"artifacts/{kept}/attempt-0007/data", b"lost the race")
    store.objects.put("artifacts/decode/a-b/attempt-0001/data", b"killed")
    store.objects.put(f"work/{kept.key}/attempt-0001/step-000010/weights", b"unfinished")
    assert names(store, 1) == {
        str(kept): "attempts that lost or were replaced",
        "decode/a-b": "an attempt that was killed or failed",
        f"work/{kept.key}": "unfinished work whose result is committed",
    }
    lease = try_acquire(store.objects, "a-b")
    assert lease is not None
    with held(lease):
        assert "decode/a-b" not in names(store, 1)
    delete_garbage(store, find_garbage(store, 1))
    assert remaining(store) == {str(kept)}
    assert store.objects.exists(f"work/{kept.key}/lease.json")  # its token names the next attempt's folder


def test_what_a_killed_run_committed_before_it_could_say_so_is_kept(store: ArtifactStore) -> None:
    made = commit(store, "decode", 1)
    killed = record(store, 1, state="running")
    assert not is_alive(store.objects, killed)
    assert names(store, 1) == {}
    record(store, 2, state="completed")
    assert str(made) in names(store, 1)


def test_nothing_is_collected_while_a_run_is_alive_or_another_collection_works(store: ArtifactStore) -> None:
    run = record(store, 1, state="running")
    lease = try_acquire(store.objects, run.id)
    assert lease is not None
    with held(lease), pytest.raises(ArtifactError, match=f"{run.id} is at work on h"), collecting(store):
        pass
    with collecting(store), pytest.raises(ArtifactError, match="Another garbage"), collecting(store):
        pass


def test_runs_are_found_by_a_part_of_their_id(store: ArtifactStore) -> None:
    one, two = record(store, 1), record(store, 2)
    assert find_run(store.objects, "20261121").id == one.id
    assert find_run(store.objects, "last").id == two.id
    with pytest.raises(ArtifactError, match="fits 2 runs"):
        find_run(store.objects, "curate")
    with pytest.raises(ArtifactError, match="no run 'nowhere'"):
        find_run(store.objects, "nowhere")


def test_uses_are_remembered_with_their_reason(store: ArtifactStore) -> None:
    ref = ArtifactRef(stage="decode", key="a-b", digest="d")
    run = record(store, 1)
    mark_use(store.objects, run.id, Use(ref=ref, executed=True, reason="parameter size 1 -> 2"))
    mark_use(store.objects, run.id, Use(ref=ref, executed=False))
    found = list(uses(store.objects, run.id))
    assert [(use.executed, use.reason) for use in found] == [(True, "parameter size 1 -> 2"), (False, "")]
    assert {use.ref for use in found} == {ref}


def test_verify_reads_the_store_itself_and_withdraws_what_is_damaged(store: ArtifactStore) -> None:
    ref = commit(store, "decode", 1)
    manifest: Manifest = store.manifest(ref)
    assert store.verify(manifest) == ()
    store.folder(ref)  # a copy exists now where the store is remote
    store.objects.put(f"artifacts/{ref}/{manifest.attempt}/data", b"rotten")
    assert store.verify(manifest) == (f"artifacts/{ref}/{manifest.attempt}/data",)
    assert store.find(ref.stage, ref.key) is None
