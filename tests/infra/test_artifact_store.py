"""Artifacts: keys, commits, hits, corruption; the rules every stage relies on."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from infra.artifact_store import ArtifactStore, CorruptArtifactError
from infra.lease import LeaseLostError, try_acquire
from infra.manifest import ArtifactRef, Manifest, StageRequest
from infra.object_store import StorageError, open_store


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(open_store(str(tmp_path / "store")), tmp_path / "cache")


def request_for(params: dict[str, object], inputs: tuple[ArtifactRef, ...] = ()) -> StageRequest:
    return StageRequest(stage="stage_a", version=1, params=params, inputs={"input": inputs}, facts={})


def commit(store: ArtifactStore, request: StageRequest, text: str = "payload", replace: bool = False) -> Manifest:
    lease = try_acquire(store.objects, request.key)
    assert lease is not None
    with store.draft() as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "data.txt").write_text(text)
        with store.draft() as timings:
            (timings / "steps.txt").write_text("0.25 s")
            run = {"seconds": 1.0}
            manifest = store.commit(request, folder, {"items": 1}, lease, run, timings, replace=replace)
    lease.release()
    return manifest


def test_key_depends_on_params_inputs_and_version_only() -> None:
    ref = ArtifactRef(stage="x", key="k1", digest="d1")
    base = request_for({"a": 1}, (ref,))
    assert base.key == request_for({"a": 1}, (ref,)).key
    assert base.key != request_for({"a": 2}, (ref,)).key
    assert base.key != base.model_copy(update={"version": 2}).key
    same_payload = request_for({"a": 1}, (ArtifactRef(stage="x", key="another", digest="d1"),))
    assert same_payload.key == base.key  # an unchanged payload stops the ripple
    assert base.key.split("-")[0] == request_for({"a": 1}).key.split("-")[0]  # the recipe half ignores inputs


def test_commit_then_find_and_read(store: ArtifactStore) -> None:
    request = request_for({"a": 1})
    assert store.find("stage_a", request.key) is None
    manifest = commit(store, request)
    found = store.find("stage_a", request.key)
    assert found == manifest
    assert (store.folder(manifest.ref) / "sub" / "data.txt").read_text() == "payload"
    assert store.run_record(manifest) == {"seconds": 1.0}
    assert store.timings(manifest, "steps.txt") == b"0.25 s"
    assert "steps.txt" not in manifest.files
    assert [m.key for m in store.manifests("stage_a", request.recipe)] == [request.key]
    assert list(store.manifests("stage_b")) == []


def test_digest_is_of_the_payload_not_of_the_run(store: ArtifactStore) -> None:
    one, two = commit(store, request_for({"a": 1})), commit(store, request_for({"a": 2}))
    assert one.digest == two.digest
    assert one.key != two.key
    assert commit(store, request_for({"a": 3}), "other").digest != one.digest


def test_of_two_commits_the_first_stays(store: ArtifactStore) -> None:
    request = request_for({})
    first = commit(store, request, "first")
    second = commit(store, request, "second")
    assert second.digest == first.digest
    assert (store.folder(first.ref) / "sub" / "data.txt").read_text() == "first"


def test_forced_commit_replaces_and_old_reference_is_refused(store: ArtifactStore) -> None:
    request = request_for({})
    first = commit(store, request, "first")
    second = commit(store, request, "second", replace=True)
    assert (store.folder(second.ref) / "sub" / "data.txt").read_text() == "second"
    with pytest.raises(ValueError, match="run the stage again"):
        store.folder(first.ref)


def test_corrupt_payload_is_withdrawn_and_named(store: ArtifactStore, tmp_path: Path) -> None:
    request = request_for({})
    manifest = commit(store, request)
    fresh = ArtifactStore(open_store(str(tmp_path / "store")), tmp_path / "cache")
    path = fresh.objects.local_path(f"artifacts/stage_a/{request.key}/{manifest.attempt}/sub/data.txt")
    assert path is not None
    path.chmod(0o644)
    path.write_text("tampered")
    with pytest.raises(CorruptArtifactError, match=r"sub/data\.txt"):
        fresh.folder(manifest.ref)
    assert fresh.find("stage_a", request.key) is None  # the next run computes it anew


def test_unknown_manifest_format_is_refused(store: ArtifactStore) -> None:
    request = request_for({})
    manifest = json.loads(commit(store, request).to_json())
    store.objects.put(f"artifacts/stage_a/{request.key}/manifest.json", json.dumps(manifest | {"format": 99}).encode())
    with pytest.raises(ValueError, match="format 99"):
        store.find("stage_a", request.key)


def test_commit_without_a_lease_is_refused(store: ArtifactStore) -> None:
    request = request_for({})
    lease = try_acquire(store.objects, request.key)
    assert lease is not None
    lease._lost.set()
    with store.draft() as folder, pytest.raises(LeaseLostError):
        store.commit(request, folder, {}, lease, {}, replace=False)
    assert store.find("stage_a", request.key) is None


def test_draft_is_removed(store: ArtifactStore) -> None:
    with store.draft() as folder:
        (folder / "file").write_text("x")
    assert not folder.exists()


def test_a_full_disk_is_told_in_one_sentence(store: ArtifactStore) -> None:
    with pytest.raises(StorageError, match="became full"), store.draft() as folder:  # noqa: PT012 - the block is under test
        (folder / "half").write_text("x")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert not folder.exists()
    with pytest.raises(PermissionError), store.draft():
        raise PermissionError(errno.EACCES, "not this one")
