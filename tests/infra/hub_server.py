"""A local server that speaks as much of the Hugging Face hub's protocol as fetching a dataset takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = {"main": "a" * 40, "v2": "b" * 40}


@dataclass
class Hub:
    """``datasets`` are folders by ``owner/name``; every revision of one is the same folder."""

    url: str
    datasets: dict[str, Path] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    """Files by their end for which the server fails."""
    requests: list[str] = field(default_factory=list)

    @property
    def fetched(self) -> list[str]:
        """The files that were sent, in order."""
        return [path.partition("/resolve/")[2].partition("/")[2] for path in self.requests if "/resolve/" in path]


@contextmanager
def hub_server() -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if self.command == "GET" and "/datasets/" in path:  # the client asks the hub about other things as well
                hub.requests.append(path)
            status, headers, body = _answer(hub, path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - the name the base class calls

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub = Hub(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(hub: Hub, path: str) -> tuple[int, dict[str, str], bytes]:
    """``/api/datasets/O/N[/revision/R | /tree/R]`` or ``/datasets/O/N/resolve/R/FILE``."""
    parts = path.removeprefix("/api").split("/")
    repository = "/".join(parts[2:4])
    if parts[1] != "datasets" or repository not in hub.datasets:
        return 404, {"X-Error-Code": "RepoNotFound"}, b"{}"
    kind, revision, name = parts[4] if len(parts) > 4 else "revision", "main", ""
    if len(parts) > 5:
        revision, name = parts[5], "/".join(parts[6:])
    commit = COMMIT.get(revision, revision)
    if commit not in COMMIT.values():
        return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
    folder = hub.datasets[repository]
    if kind == "revision":
        return 200, {}, json.dumps({"id": repository, "sha": commit}).encode()
    if kind == "tree":
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        listed = [
            {
                "type": "file",
                "path": file.relative_to(folder).as_posix(),
                "size": file.stat().st_size,
                "oid": _digest(file),
            }
            for file in files
        ]
        return 200, {}, json.dumps(listed).encode()
    if repository in hub.gated:
        return 403, {"X-Error-Code": "GatedRepo"}, b"{}"
    if any(name.endswith(end) for end in hub.broken):
        return 400, {}, b"{}"  # at 500 the client tries again for half a minute
    return 200, {"X-Repo-Commit": commit, "ETag": f'"{_digest(folder / name)}"'}, (folder / name).read_bytes()


def _digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
