"""One contract, kept by every object store; then what each backend owes on its own."""

from __future__ import annotations

import errno
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from botocore.awsrequest import AWSResponse

import infra.local_store
import infra.s3_store
from infra.local_store import LocalObjectStore
from infra.object_store import RESERVED_FOLDER, MissingObjectError, ObjectStore, StorageError, open_store
from infra.s3_store import S3ObjectStore

MIB = 1 << 20


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "local":
        return open_store(str(tmp_path / "a store"))
    service = request.getfixturevalue("s3_service")
    return open_store(f"s3://{service.make_bucket()}/a/prefix", service.endpoint_url)


@pytest.fixture
def local(tmp_path: Path) -> LocalObjectStore:
    return LocalObjectStore(tmp_path / "store")


@pytest.fixture
def s3(s3_service) -> S3ObjectStore:
    return S3ObjectStore(s3_service.make_bucket(), "", s3_service.endpoint_url, attempts=3)


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    return [info.key for info in store.list(prefix)]


class TestContract:
    def test_put_replaces(self, store: ObjectStore) -> None:
        store.put("a/b.json", b"old")
        store.put("a/b.json", b"new")
        assert store.get("a/b.json") == b"new"
        store.put("empty", b"")
        assert store.get("empty") == b""

    def test_uri_opens_the_same_store(self, store: ObjectStore, request: pytest.FixtureRequest) -> None:
        store.put("k", b"1")
        service = request.getfixturevalue("s3_service") if store.uri.startswith("s3") else None
        assert open_store(store.uri, service and service.endpoint_url).get("k") == b"1"

    def test_absent(self, store: ObjectStore, tmp_path: Path) -> None:
        assert not store.exists("no/such")
        assert keys(store) == []
        store.delete("no/such")
        for read in (store.get, store.get_tagged, lambda key: store.get_file(key, tmp_path / "out" / "file")):
            with pytest.raises(MissingObjectError, match=r"^There is no object 'no/such' in .*; check .*\.$"):
                read("no/such")
        assert list(tmp_path.glob("out/*")) == []

    def test_put_if_absent(self, store: ObjectStore) -> None:
        assert store.put_if_absent("lease", b"mine")
        assert not store.put_if_absent("lease", b"yours")
        assert store.get("lease") == b"mine"
        store.delete("lease")
        assert store.put_if_absent("lease", b"yours")

    def test_one_winner_of_sixteen(self, store: ObjectStore) -> None:
        start = Barrier(16)

        def write(writer: int) -> bool:
            start.wait()
            return store.put_if_absent("race", b"%d" % writer * 1000)

        with ThreadPoolExecutor(16) as pool:
            won = list(pool.map(write, range(16)))
        assert won.count(True) == 1
        assert store.get("race") == b"%d" % won.index(True) * 1000

    def test_replace_if(self, store: ObjectStore) -> None:
        store.put("state", b"1")
        data, tag = store.get_tagged("state")
        assert data == b"1"
        assert store.replace_if("state", b"2", tag)
        assert not store.replace_if("state", b"3", tag)
        assert store.get("state") == b"2"
        tag = store.get_tagged("state")[1]
        store.delete("state")
        assert not store.replace_if("state", b"3", tag)
        assert not store.exists("state")

    def test_no_increment_is_lost(self, store: ObjectStore) -> None:
        store.put("counter", b"0")

        def increment(_: int) -> None:
            while True:
                data, tag = store.get_tagged("counter")
                if store.replace_if("counter", b"%d" % (int(data) + 1), tag):
                    return

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(increment, range(24)))
        assert store.get("counter") == b"24"

    def test_files(self, store: ObjectStore, tmp_path: Path) -> None:
        source, target = tmp_path / "source", tmp_path / "new folder" / "target"
        source.write_bytes(b"frames")
        store.put_file("x/frames.arrow", source)
        assert source.read_bytes() == b"frames"
        store.put_file("x/moved.arrow", source, move=True)
        assert not source.exists()
        target.parent.mkdir()
        target.write_bytes(b"old")
        store.get_file("x/moved.arrow", target)
        assert target.read_bytes() == b"frames"
        assert [path.name for path in target.parent.iterdir()] == ["target"]
        place = store.local_path("x/frames.arrow")
        assert place is None or place.read_bytes() == b"frames"

    def test_large_file(self, store: ObjectStore, tmp_path: Path) -> None:
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(os.urandom(MIB) * 33 + b"end")
        store.put_file("large", source)
        store.get_file("large", target)
        assert target.read_bytes() == source.read_bytes()
        assert [info.size for info in store.list("large")] == [33 * MIB + 3]

    def test_absent_source_file(self, store: ObjectStore, tmp_path: Path) -> None:
        for move in (False, True):
            with pytest.raises(StorageError, match=r"read .*missing"):
                store.put_file("k", tmp_path / "missing", move=move)
        assert not store.exists("k")

    def test_list_is_in_the_order_of_keys(self, store: ObjectStore) -> None:
        names = ["a-b", "a/b", "a/b-c", "a/bc/d", "a0", "ab/c", "b", "é ü+%=&.json", "Z"]
        for name in names:
            store.put(name, name.encode())
        assert keys(store) == sorted(names)
        assert keys(store, "a/b") == ["a/b", "a/b-c", "a/bc/d"]
        assert keys(store, "a/") == ["a/b", "a/b-c", "a/bc/d"]
        assert keys(store, "a/bc/") == ["a/bc/d"]
        assert keys(store, "a/x") == keys(store, "x/y/") == keys(store, "a/b/c") == []
        (info,) = store.list("b")
        assert info.size == 1
        assert abs(info.modified - time.time()) < 60

    def test_list_shows_no_unfinished_write(self, store: ObjectStore) -> None:
        store.put_if_absent("a", b"1")
        assert keys(store) == ["a"]
        assert keys(store, RESERVED_FOLDER[:3]) == []

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "./a",
            "a\\b",
            "a\nb",
            "a\0",
            f"{RESERVED_FOLDER}/a",
            "x" * 256,
            "x/" * 600 + "x",
        ],
    )
    def test_keys_no_store_can_hold(self, store: ObjectStore, key: str, tmp_path: Path) -> None:
        calls: list[Callable[[], object]] = [
            lambda: store.put(key, b""),
            lambda: store.put_if_absent(key, b""),
            lambda: store.replace_if(key, b"", "tag"),
            lambda: store.get(key),
            lambda: store.put_file(key, Path(__file__)),
            lambda: store.get_file(key, tmp_path / "file"),
            lambda: store.exists(key),
            lambda: store.delete(key),
            lambda: store.local_path(key),
        ]
        for call in calls:
            with pytest.raises(StorageError, match="cannot be stored: expected names"):
                call()

    def test_prefixes_outside_the_store(self, store: ObjectStore) -> None:
        for prefix in ("../", "/", "a/../../b", f"{RESERVED_FOLDER}/"):
            with pytest.raises(StorageError, match="cannot be stored"):
                keys(store, prefix)

    def test_errors_travel_between_processes(self, store: ObjectStore) -> None:
        with pytest.raises(MissingObjectError) as caught:
            store.get("absent")
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


class TestAddresses:
    def test_local_addresses(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        for address in ("here", str(tmp_path / "here"), f"file://{tmp_path}/here", f"file://localhost{tmp_path}/here"):
            assert open_store(address).local_path("k") == tmp_path / "here" / "k"
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("address", "found"),
        [
            ("", "is empty"),
            ("gs://bucket", "unknown scheme 'gs'"),
            ("s3:///x", "names no bucket"),
            ("file://x", "names a host"),
        ],
    )
    def test_addresses_of_no_store(self, address: str, found: str) -> None:
        with pytest.raises(StorageError, match=f"{found}.*expected"):
            open_store(address)


class TestLocal:
    def test_no_key_is_a_folder_of_another(self, local: LocalObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"kept")
        local.put("a", b"1")
        local.put("d/e/f", b"1")
        for key, why in {
            "a/b": "'a' is an object",
            "a/b/c": "'a' is an object",
            "d": "below it",
            "d/e": "below it",
        }.items():
            for write in (
                lambda key: local.put(key, b"2"),
                lambda key: local.put_if_absent(key, b"2"),
                lambda key: local.put_file(key, source, move=True),
            ):
                with pytest.raises(StorageError, match=f"Cannot write object '{key}'.*{why}.*no key may be a folder"):
                    write(key)
        assert source.read_bytes() == b"kept"
        assert keys(local) == ["a", "d/e/f"]
        assert not local.exists("d/e")
        local.delete("d/e")
        with pytest.raises(MissingObjectError):
            local.get("a/b")

    def test_emptied_folders_make_room(self, local: LocalObjectStore) -> None:
        local.put("d/e/f", b"1")
        local.delete("d/e/f")
        local.put("d", b"2")
        assert local.get("d") == b"2"
        (local.root / "left" / "empty").mkdir(parents=True)
        assert local.put_if_absent("left/empty", b"3")

    def test_writers_survive_deleters_of_the_same_folder(self, local: LocalObjectStore) -> None:
        def write_and_delete(writer: int) -> None:
            for _ in range(30):
                local.put(f"shared/folder/{writer}", b"1")
                local.delete(f"shared/folder/{writer}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(write_and_delete, range(4)))
        assert keys(local) == []

    def test_moved_within_the_file_system_is_renamed(self, local: LocalObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"1")
        inode = source.stat().st_ino
        local.put_file("k", source, move=True)
        assert local.local_path("k").stat().st_ino == inode

    def test_moved_across_file_systems_is_copied(
        self, local: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source, replace = tmp_path / "source", os.replace
        source.write_bytes(b"1")

        def across(old: Path, new: Path) -> None:
            if old == source:
                raise OSError(errno.EXDEV, "Invalid cross-device link")
            replace(old, new)

        monkeypatch.setattr(os, "replace", across)
        local.put_file("k", source, move=True)
        assert local.get("k") == b"1"
        assert not source.exists()

    def test_a_moved_link_leaves_its_target(self, local: LocalObjectStore, tmp_path: Path) -> None:
        target, link = tmp_path / "target", tmp_path / "link"
        target.write_bytes(b"1")
        link.symlink_to(target)
        local.put_file("k", link, move=True)
        assert not link.is_symlink()
        assert target.exists()
        assert not local.local_path("k").is_symlink()

    def test_killed_writer_leaves_nothing_to_see(self, local: LocalObjectStore, tmp_path: Path) -> None:
        script = (
            "import sys\nfrom pathlib import Path\nfrom infra.local_store import LocalObjectStore\n"
            "LocalObjectStore(Path(sys.argv[1])).put_file('big', Path(sys.argv[2]))\n"
        )
        pipe = tmp_path / "a file that never ends"
        os.mkfifo(pipe)
        command = [sys.executable, "-c", script, str(local.root), str(pipe)]
        inflight = local.root / RESERVED_FOLDER
        with subprocess.Popen(command) as writer, pipe.open("wb") as end:
            end.write(bytes(2 * MIB + 1))
            end.flush()
            while sum(path.stat().st_size for path in inflight.iterdir() if path.is_file()) < 2 * MIB:
                assert writer.poll() is None
                time.sleep(0.01)
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        assert keys(local) == []
        assert not local.exists("big")
        (left,) = (path for path in inflight.iterdir() if path.is_file())

        LocalObjectStore(local.root)
        assert left.exists()  # it could be another's write under way
        os.utime(left, (0, time.time() - 2 * 24 * 3600))
        LocalObjectStore(local.root)
        assert not left.exists()

    def test_full_disk(self, local: LocalObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        local.put("k", b"old")

        def full(_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(infra.local_store.os, "fsync", full)
        with pytest.raises(StorageError, match=r"^Cannot write object 'k' in .*: the disk is full .*; free some space"):
            local.put("k", b"new")
        with pytest.raises(StorageError, match="the disk is full"):
            local.get_file("k", tmp_path / "out")
        assert local.get("k") == b"old"
        assert not (tmp_path / "out").exists()
        assert [path.name for path in (local.root / RESERVED_FOLDER).iterdir()] == ["locks"]

    def test_a_file_in_place_of_the_folder(self, tmp_path: Path) -> None:
        (tmp_path / "store").write_text("")
        for root in (tmp_path / "store", tmp_path / "store" / "below"):
            with pytest.raises(StorageError, match=r"store is a file where a folder is expected; remove it"):
                LocalObjectStore(root).put("k", b"")

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
    def test_read_only_folder(self, local: LocalObjectStore) -> None:
        local.put("k", b"1")
        for folder in (local.root / RESERVED_FOLDER, local.root):
            folder.chmod(0o500)
        try:
            assert local.get("k") == b"1"
            with pytest.raises(StorageError, match="this user may not write there; correct the permissions"):
                local.put("k", b"2")
        finally:
            for folder in (local.root, local.root / RESERVED_FOLDER):
                folder.chmod(0o700)


class TestS3:
    def test_large_files_go_in_parts_with_checksums(self, s3: S3ObjectStore, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.write_bytes(bytes(33 * MIB))
        sent: list[str] = []
        s3._client.meta.events.register(
            "before-call.s3.UploadPart", lambda params, **_: sent.extend(params["headers"].values())
        )
        s3.put_file("large", source)
        assert s3.get_tagged("large")[1].endswith('-3"')
        assert sent.count("CRC32") == 3

    def test_a_lost_answer_does_not_lose_the_race(self, s3: S3ObjectStore) -> None:
        """The request arrives, its answer does not, and boto3 sends it again: the writer must learn that it won."""
        s3.put_if_absent("other", b"")
        http = s3._client._endpoint.http_session
        lost: list[str] = []

        def lose_first_answer(request, **_):
            if not lost:
                lost.append(request.url)
                http.send(request)
                return AWSResponse(request.url, 503, {}, _Raw(b""))
            return None

        s3._client.meta.events.register("before-send.s3.PutObject", lose_first_answer)
        assert s3.put_if_absent("lease", b"mine")
        lost.clear()
        assert s3.replace_if("lease", b"still mine", s3.get_tagged("lease")[1])
        lost.clear()
        assert not s3.put_if_absent("lease", b"yours")
        assert s3.get("lease") == b"still mine"

    def test_a_service_that_ignores_conditions_is_refused(self, s3: S3ObjectStore) -> None:
        def ignore(request, **_) -> None:
            del request.headers["If-None-Match"]

        s3._client.meta.events.register("before-sign.s3.PutObject", ignore)
        with pytest.raises(StorageError, match="ignores the condition of conditional writes"):
            s3.put_if_absent("lease", b"mine")

    def test_many_pages(self, s3: S3ObjectStore) -> None:
        names = sorted(f"l/{number:02d}{end}" for number in range(8) for end in ("", "-", "0/a", "0/b/c"))
        for name in names:
            s3.put(name, b"")
        s3._client.meta.events.register(
            "provide-client-params.s3.ListObjectsV2", lambda params, **_: {**params, "MaxKeys": 5}
        )
        assert keys(s3, "l/") == names

    def test_wrong_secret(self, s3_service, monkeypatch: pytest.MonkeyPatch) -> None:
        bucket = s3_service.make_bucket()
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(StorageError, match=r"^Cannot write object 'k' in s3://.* does not accept the credentials"):
            S3ObjectStore(bucket, endpoint_url=s3_service.endpoint_url).put("k", b"")
        with pytest.raises(StorageError, match=r"denies access .*check the credentials"):
            S3ObjectStore(bucket, endpoint_url=s3_service.endpoint_url).exists("k")

    def test_no_credentials(self, s3_service, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StorageError, match=r"credentials are missing .*set AWS_ACCESS_KEY_ID"):
            S3ObjectStore("bucket", endpoint_url=s3_service.endpoint_url).put("k", b"")

    def test_unknown_profile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(StorageError, match=r"^Cannot open the store .*credentials are missing .*nobody"):
            open_store("s3://bucket/prefix")

    def test_expired_credentials(self, s3: S3ObjectStore) -> None:
        answer = b"<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"

        def expire(request, **_) -> AWSResponse:
            return AWSResponse(request.url, 400, {}, _Raw(answer))

        s3._client.meta.events.register("before-send.s3", expire)
        with pytest.raises(StorageError, match=r"credentials have expired \(ExpiredToken\); sign in again"):
            s3.get("k")

    def test_missing_bucket(self, s3_service) -> None:
        missing = S3ObjectStore("no-such-bucket", endpoint_url=s3_service.endpoint_url)
        for call in (lambda: missing.get("k"), lambda: keys(missing)):
            with pytest.raises(StorageError, match="has no bucket 'no-such-bucket'; create it"):
                call()

    def test_unreachable_endpoint(self, tmp_path: Path) -> None:
        unreachable = S3ObjectStore("bucket", endpoint_url="http://127.0.0.1:9", attempts=1)
        for call in (
            lambda: unreachable.put("k", b""),
            lambda: unreachable.get_file("k", tmp_path / "k"),
            lambda: keys(unreachable),
        ):
            with pytest.raises(StorageError, match=r"http://127.0.0.1:9 cannot be reached; check the endpoint address"):
                call()

    def test_address_that_is_none(self) -> None:
        with pytest.raises(StorageError, match=r"^The endpoint address 'localhost' is no web address: expected http"):
            S3ObjectStore("bucket", endpoint_url="localhost")
        with pytest.raises(StorageError, match="Invalid bucket name"):
            S3ObjectStore("two words").put("k", b"")


class _Raw:
    """The part of urllib3's response that botocore reads."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self):
        yield self._body
