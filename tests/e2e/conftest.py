"""Runs the command line as a user would: in a process of its own, against one Prefect server for the session."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infra.prefect.server import configure_prefect, start_server
from infra.settings import Settings

TIMEOUT_S = 900


@dataclass(frozen=True)
class Finished:
    """What a command printed, and what its summary says was executed per stage."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def executed(self) -> dict[str, int]:
        return {m[1]: int(m[2]) for m in re.finditer(r"^  (\w+) +executed (\d+) of", self.stdout, re.M)}

    @property
    def last_line(self) -> str:
        return self.stdout.splitlines()[-1]


@dataclass(frozen=True)
class CommandLine:
    """`dualvla` with a home of its own."""

    home: Path
    environment: dict[str, str]
    extra: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows", *arguments],
            env={**self.environment, **self.extra, "DUALVLA_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> Finished:
        process = self.start(*arguments)
        try:
            stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()  # where it took too long, it would go on for ever
        return Finished(process.returncode, stdout, stderr)


@pytest.fixture(scope="session")
def prefect_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of processes that report to this session's server."""
    before = dict(os.environ)
    settings = Settings(home=tmp_path_factory.mktemp("prefect server"), server_port=0)
    configure_prefect(settings)
    process, server = start_server(settings)
    try:
        yield {**os.environ, "PREFECT_API_URL": server.api_url}
    finally:
        process.terminate()
        process.wait()
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def command_line(prefect_environment: dict[str, str]) -> Callable[..., CommandLine]:
    """Make a command line with a given home folder (and extra environment variables)."""

    def make(home: Path, **extra: str) -> CommandLine:
        return CommandLine(home, prefect_environment, extra)

    return make
