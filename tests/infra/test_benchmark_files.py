"""Downloads against a real server in this process."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from infra import benchmark_files
from infra.benchmark_files import download_benchmark
from infra.object_store import StorageError

CONTENT = b"index\tquestion\n1\t?\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server that publishes MMStar with the content above."""
    folder = tmp_path / "server"
    folder.mkdir()
    (folder / "MMStar.tsv").write_bytes(CONTENT)
    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{serving.server_port}/MMStar.tsv"
    md5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
    published = {"MMStar": dataclasses.replace(CATALOGUE["MMStar"], url=url, md5=md5)}
    monkeypatch.setattr(benchmark_files, "CATALOGUE", published)
    yield folder
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_a_file_is_fetched_once(server: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = download_benchmark("MMStar", tmp_path / "here", lambda done, total: told.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    (server / "MMStar.tsv").unlink()
    assert download_benchmark("MMStar", tmp_path / "here") == path


def test_a_file_of_other_content_is_not_kept(server: Path, tmp_path: Path) -> None:
    (server / "MMStar.tsv").write_bytes(b"other")
    with pytest.raises(StorageError, match=r"holds a file of MD5 .*, expected"):
        download_benchmark("MMStar", tmp_path / "here")
    assert list((tmp_path / "here").iterdir()) == []


def test_what_cannot_be_fetched_is_told(server: Path, tmp_path: Path) -> None:
    (server / "MMStar.tsv").unlink()
    with pytest.raises(StorageError, match=r"MMStar\.tsv cannot be fetched \(.*404"):
        download_benchmark("MMStar", tmp_path / "here")
    with pytest.raises(ConfigError, match="There is no benchmark 'MMSun'"):
        download_benchmark("MMSun", tmp_path / "here")
