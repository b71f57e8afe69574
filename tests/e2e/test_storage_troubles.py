"""A store that is full, closed, or does not know us: one sentence through the command line, and nothing is lost."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dualvla_core.episodes.conftest import Demo, write_v2
from tests.e2e.conftest import CommandLine, Finished
from tests.seaweedfs import ACCESS_KEY, READER_KEY, SECRET_KEY, S3Service

MakeCommandLine = Callable[..., CommandLine]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_v2(tmp_path_factory.mktemp("data") / "demonstrations", [Demo(seed=seed, length=12) for seed in (0, 1)])


@pytest.fixture
def bucket(s3_service: S3Service) -> str:
    return s3_service.make_bucket()


def in_bucket(bucket: str, endpoint: str, access: str = ACCESS_KEY, secret: str = SECRET_KEY) -> dict[str, str]:
    """The environment of a command whose store is a bucket."""
    return {
        "DUALVLA_STORE": f"s3://{bucket}/team",
        "DUALVLA_S3_ENDPOINT": endpoint,
        "AWS_ACCESS_KEY_ID": access,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def only_sentence(finished: Finished) -> str:
    """What a command that was refused says, all of it."""
    assert finished.returncode == 1, finished.stdout
    assert finished.stderr.startswith("dualvla: "), finished.stderr
    assert finished.stderr.count("\n") == 1, finished.stderr
    return finished.stderr


def test_a_wrong_secret(s3_service: S3Service, bucket: str, command_line: MakeCommandLine, tmp_path: Path) -> None:
    environment = in_bucket(bucket, s3_service.endpoint_url, secret="not the secret")
    told = only_sentence(command_line(tmp_path, **environment)("runs", "ls"))
    assert "does not accept the credentials (SignatureDoesNotMatch); check the access key and its secret" in told


def test_who_may_only_read_is_refused_a_run_and_still_sees_what_there_is(
    s3_service: S3Service, bucket: str, dataset: Path, command_line: MakeCommandLine, tmp_path: Path
) -> None:
    writer = command_line(tmp_path / "writer", **in_bucket(bucket, s3_service.endpoint_url))
    reader = command_line(tmp_path / "reader", **in_bucket(bucket, s3_service.endpoint_url, access=READER_KEY))
    first = writer("curate", "--dataset", str(dataset))
    assert first.returncode == 0, first.stderr
    told = only_sentence(reader("curate", "--dataset", str(dataset)))
    assert "denies access (AccessDenied); check the credentials and their rights to this bucket" in told
    assert "publish_report" in reader("artifacts", "ls").stdout


def test_a_token_that_expires_during_a_run(
    s3_service: S3Service, bucket: str, dataset: Path, command_line: MakeCommandLine, tmp_path: Path
) -> None:
    with Gate(s3_service.endpoint_url, expires_with="/artifacts/scan_demonstrations/") as gate:
        command = command_line(tmp_path, **in_bucket(bucket, gate.endpoint_url))
        told = only_sentence(command("curate", "--dataset", str(dataset)))
        assert "the credentials have expired (ExpiredToken); sign in again and repeat the command" in told
        gate.expires_with = None
        resumed = command("resume", "last")
    assert resumed.returncode == 0, resumed.stderr
    assert "scan_demonstrations" not in resumed.executed
    assert resumed.executed["decode_episodes"] == 1


def test_a_disk_that_fills_up(dataset: Path, command_line: MakeCommandLine, tmp_path: Path) -> None:
    """A small file system in memory, in a name space of its own; after the failure it is given more room."""
    if not small_disks_can_be_mounted(tmp_path):
        pytest.skip("this system lets nobody mount a file system of their own (unshare --user)")
    disk = tmp_path / "disk"
    disk.mkdir()
    command = command_line(disk / "home")
    curate = f'"{sys.executable}" -m flows curate --dataset "{dataset}"'
    script = f"""
        mount -t tmpfs -o size=150k none "{disk}" || exit 9
        {curate} 2> "{tmp_path}/told" && exit 8
        mount -o remount,size=64m "{disk}"
        exec "{sys.executable}" -m flows curate --dataset "{dataset}"
    """
    environment = command.environment | {"DUALVLA_HOME": str(command.home), "PREFECT_HOME": str(tmp_path / "prefect")}
    found = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    told = (tmp_path / "told").read_text()
    assert told.startswith("dualvla: "), told
    assert told.count("\n") == 1, told
    assert "free some space" in told
    resumed = Finished(found.returncode, found.stdout, found.stderr)
    assert "scan_demonstrations" not in resumed.executed
    assert "publish_report" in resumed.executed


def small_disks_can_be_mounted(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = f'mount -t tmpfs -o size=64k none "{folder}"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", probe]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


class Gate(ThreadingHTTPServer):
    """Passes requests on to an S3 service; once a commit below ``expires_with`` went through, says the token expired.

    The answer is the one that Amazon's documentation gives; SeaweedFS hands out no tokens that expire.
    """

    daemon_threads = True

    def __init__(self, behind: str, expires_with: str | None) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.behind = urlsplit(behind).netloc
        self.expires_with = expires_with
        self.expired = False
        self.endpoint_url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Gate:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gate

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.expires_with and self.server.expired:
            self._answer(400, [], b"<Error><Code>ExpiredToken</Code><Message>The token has expired.</Message></Error>")
            return
        connection = http.client.HTTPConnection(self.server.behind, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection.request(self.command, self.path, body, headers)  # the signature holds for the gate's own address
        found = connection.getresponse()
        self._answer(found.status, found.getheaders(), found.read())
        connection.close()
        if self.server.expires_with and self.command == "PUT" and self.path.endswith("/manifest.json"):
            self.server.expired |= self.server.expires_with in self.path

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 - the names the base class calls

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in {"transfer-encoding", "connection"} and (
                self.command == "HEAD" or name.lower() != "content-length"
            ):
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command != "HEAD" else b"")

    def log_message(self, *_: object) -> None:
        """Keep quiet."""
