"""Prefect's database may be lost, or be PostgreSQL; a machine may be lost, and its run is begun again elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.dualvla_core.episodes.conftest import Demo, write_v2
from tests.e2e.conftest import CommandLine

MakeCommandLine = Callable[..., CommandLine]
pytestmark = pytest.mark.slow


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_v2(tmp_path / "crashing", [Demo(seed=number, length=12) for number in range(2)])


def with_own_server(home: Path) -> dict[str, str]:
    """The environment of a command that brings its own Prefect server."""
    return {"PREFECT_API_URL": "", "PREFECT_HOME": str(home / "prefect"), "DUALVLA_SERVER_PORT": "0"}


def test_what_is_committed_outlives_prefects_database(
    dataset: Path, command_line: MakeCommandLine, tmp_path: Path
) -> None:
    command = command_line(tmp_path / "home", **with_own_server(tmp_path / "home"))
    assert command("curate", "--dataset", str(dataset)).returncode == 0
    shutil.rmtree(tmp_path / "home" / "prefect")
    resumed = command("resume", "last")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.executed == {}
    assert "Nothing was executed" in resumed.stdout


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server of one's own; its address."""
    found = shutil.which("postgres")
    if found is None:
        pytest.skip("PostgreSQL is not installed")
    programs = Path(found).resolve().parent
    user = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    folder = Path(tempfile.mkdtemp())  # pytest's own folders are closed to other users
    if user:
        shutil.chown(folder, user)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    subprocess.run([programs / "initdb", "-D", data, "-U", "prefect", "-A", "trust"], user=user, check=True, cwd="/")
    listen = ["-p", str(port), "-k", str(folder), "-c", "listen_addresses=127.0.0.1"]
    server = subprocess.Popen([programs / "postgres", "-D", data, *listen], user=user, cwd="/")
    try:
        while subprocess.run([programs / "pg_isready", "-h", "127.0.0.1", "-p", str(port)], check=False).returncode:
            assert server.poll() is None
            time.sleep(0.2)
        yield f"prefect@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


def test_the_server_keeps_its_runs_in_postgresql(dataset: Path, command_line: MakeCommandLine, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with postgres() as address:
        connection = {"PREFECT_API_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{address}"}
        command = command_line(home, **with_own_server(home), **connection)
        finished = command("curate", "--dataset", str(dataset))
        assert finished.returncode == 0, finished.stderr
        query = ["psql", f"postgresql://{address}", "--tuples-only", "--command", "select state_name from flow_run"]
        assert subprocess.run(query, capture_output=True, text=True, check=True).stdout.split() == ["Completed"]
    assert not list(home.rglob("prefect.db"))


def test_the_run_of_a_machine_that_is_gone_is_found_and_begun_again(
    dataset: Path, command_line: MakeCommandLine, tmp_path: Path
) -> None:
    command = command_line(tmp_path / "home")
    pool = ("--pool", "crashing")
    deployed = command("deploy", "--preset", "minimal", "--dataset", str(dataset), *pool)
    assert deployed.returncode == 0, deployed.stderr

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        url = f"{command.environment['PREFECT_API_URL']}/{path}"
        with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"})) as answer:
            return json.load(answer)

    def wait_for(*states: str, within_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + within_s
        while (found := ask(f"flow_runs/{run}"))["state_name"] not in states:
            assert time.monotonic() < deadline, found["state"]
            time.sleep(0.2)
        return dict(found)

    deployment = ask("deployments/name/curate/crashing")["id"]
    run = ask(f"deployments/{deployment}/create_flow_run", {})["id"]
    machine = command.start("worker", *pool)
    wait_for("Running", within_s=300)
    for process in [*psutil.Process(machine.pid).children(recursive=True), psutil.Process(machine.pid)]:
        process.kill()
    other = command.start("worker", *pool)
    try:
        wait_for("Crashed", within_s=300)
        ended = wait_for("Completed", "Failed", within_s=300)
    finally:
        for process in [*psutil.Process(other.pid).children(recursive=True), psutil.Process(other.pid)]:
            process.kill()
    assert (ended["state_name"], ended["run_count"]) == ("Completed", 2)
