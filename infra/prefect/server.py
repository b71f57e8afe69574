"""The Prefect server a run reports to: the one that is configured, one that already runs here, or an embedded one."""

from __future__ import annotations

import atexit
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dualvla_core.errors import DependencyError
from infra.lease import process_start
from infra.settings import Settings

START_TIMEOUT_S = 300.0
DRAIN_TIMEOUT_S = 10.0

_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class PrefectServer:
    """A server in use: its API and UI addresses."""

    api_url: str
    ui_url: str


def configure_prefect(settings: Settings) -> None:
    """Set Prefect's own environment, before it is imported: no telemetry, its files under our home, quiet console.

    Errors reach the console once, as ours; Prefect's own telling of them is in the UI.
    """
    defaults = {
        "PREFECT_HOME": str(settings.root / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_HANDLERS_DEBUG_LEVEL": "CRITICAL",  # its own services write to stderr through this one
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)  # Prefect makes the folder, but no parents


def _is_healthy(api_url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def answers(server: PrefectServer) -> bool:
    """Whether the server is there."""
    return _is_healthy(server.api_url)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise DependencyError("No free port was found on 127.0.0.1; the embedded server needs one.")


def _running_here(record: Path) -> PrefectServer | None:
    try:
        found = json.loads(record.read_text())
    except (OSError, ValueError):
        return None
    alive = process_start(found["pid"]) == found["started"] and _is_healthy(found["api_url"])
    return PrefectServer(api_url=found["api_url"], ui_url=found["ui_url"]) if alive else None


def start_server(
    settings: Settings, meanwhile: Callable[[], object] | None = None
) -> tuple[subprocess.Popen[bytes], PrefectServer]:
    """Start the embedded server (SQLite under our home); return once it answers, else raise `DependencyError`.

    That takes seconds, in which ``meanwhile`` is called; it finds the server's address in the environment.
    """
    home = settings.root / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    port = _free_port(settings.server_port)
    server = PrefectServer(api_url=f"http://127.0.0.1:{port}/api", ui_url=f"http://127.0.0.1:{port}")
    links = {"PREFECT_SERVER_UI_API_URL": server.api_url, "PREFECT_UI_URL": server.ui_url}
    environment = {**os.environ, **links}
    environment.pop("PREFECT_API_URL", None)
    log_path = home / "server.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C reaches us first, so that runs can still be reported
        )
    _started.append(process)
    atexit.register(_stop, process)
    deadline = time.monotonic() + START_TIMEOUT_S
    if meanwhile is not None:
        os.environ["PREFECT_API_URL"] = server.api_url
        meanwhile()
    while not _is_healthy(server.api_url):
        if process.poll() is not None or time.monotonic() > deadline:
            _stop(process)
            raise DependencyError(f"The embedded Prefect server did not start; its log is {log_path}.")
        time.sleep(0.1)
    record = {"pid": process.pid, "started": process_start(process.pid), **asdict(server)}
    (home / "server.json").write_text(json.dumps(record))
    return process, server


def stop_servers() -> None:
    """End the servers that this process has started, without a word to them: for a process that ends at once."""
    for process in _started:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def require_server(settings: Settings) -> PrefectServer:
    """The server that runs already, for commands that are pointless with one that stops at their end.

    Raises `DependencyError` where there is none.
    """
    configure_prefect(settings)
    if settings.prefect_api_url:
        server = PrefectServer(settings.prefect_api_url, settings.prefect_api_url.removesuffix("/api"))
        if not _is_healthy(server.api_url):
            raise DependencyError(
                f"No Prefect server answers at {server.api_url}; start it or correct PREFECT_API_URL."
            )
        return server
    found = _running_here(settings.root / "prefect" / "server.json")
    if found is None:
        raise DependencyError(
            "No Prefect server runs here; start one with `dualvla ui`, or set PREFECT_API_URL to another machine's."
        )
    os.environ["PREFECT_API_URL"] = found.api_url
    return found


@contextmanager
def prefect_server(settings: Settings, imports: Callable[[], object] = lambda: None) -> Iterator[PrefectServer]:
    """The server for the duration of a block; an embedded one that was started for it is stopped again.

    ``imports`` imports what the block needs of Prefect, with the server's address set (Prefect reads it then, and would
    start a second server without it) and, where it can, while the server starts.
    """
    configure_prefect(settings)
    if settings.prefect_api_url:
        imports()
        yield PrefectServer(api_url=settings.prefect_api_url, ui_url=settings.prefect_api_url.removesuffix("/api"))
        return
    found = _running_here(settings.root / "prefect" / "server.json")
    process = None
    if found is None:
        process, found = start_server(settings, imports)
    else:
        os.environ["PREFECT_API_URL"] = found.api_url
        imports()
    try:
        yield found
    finally:
        if process is not None:
            drain()
            _stop(process)
        os.environ.pop("PREFECT_API_URL", None)


def drain() -> None:
    """Let Prefect's background threads hand over what they hold: without a server they would retry for a minute."""
    from prefect.events.worker import EventsWorker  # noqa: PLC0415 - prefect takes 2 s to import
    from prefect.logging.handlers import APILogWorker  # noqa: PLC0415

    APILogWorker.drain_all(timeout=DRAIN_TIMEOUT_S)
    EventsWorker.drain_all(timeout=DRAIN_TIMEOUT_S)
