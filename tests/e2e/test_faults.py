"""SIGKILL at random points: after resuming, the same bytes, and nothing that was committed is executed twice."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import pytest

from infra.prefect.server import configure_prefect
from infra.settings import Settings
from tests.dualvla_core.episodes.conftest import Demo, write_v2
from tests.e2e.faults import Havoc, Site, Victim, executions
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, S3Server, S3Service


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name, value in (("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    configure_prefect(Settings(home=tmp_path / "prefect"))
    (tmp_path / "s3").mkdir()
    s3 = S3Server(tmp_path / "s3")
    s3.start()
    found = Site(tmp_path, s3, dict(os.environ))
    found.start_prefect()
    try:
        yield found
    finally:
        found.kill_prefect()
        s3.kill()


def undisturbed(site: Site, *command: str) -> dict[str, str]:
    """What a run that nothing happens to commits."""
    site.bucket = S3Service(site.s3.endpoint_url).make_bucket()
    finished = site.machine()(*command)
    assert finished.returncode == 0, finished.stderr
    return site.committed()


def times(**kills: int) -> list[Victim]:
    """So many of each victim."""
    return [cast("Victim", victim) for victim, count in kills.items() for _ in range(count)]


def survive(site: Site, command: tuple[str, ...], *phases: list[Victim], seed: int) -> Havoc:
    expected = undisturbed(site, *command)
    site.bucket = S3Service(site.s3.endpoint_url).make_bucket()
    havoc = Havoc(site, command, seed)
    finished = havoc.wreak(*phases)
    assert finished.returncode == 0, finished.stderr
    assert site.committed() == expected
    assert max(executions(site).values()) == 1
    for victim, errors in havoc.told:  # one sentence each, or the run had ended before
        assert "Traceback" not in errors, (havoc.killed, errors)
        assert errors.count("dualvla: ") <= 1, errors
        assert victim == "training" or errors.count("\n") <= 1, errors
    return havoc


def test_a_handful_of_kills(site: Site, tmp_path: Path) -> None:
    dataset = write_v2(tmp_path / "demonstrations", [Demo(seed=number, length=12) for number in range(4)])
    command = ("curate", "--dataset", str(dataset), "--set", "execution.segment_episodes=2")
    survive(site, command, times(flow=2, s3=1, prefect=1), seed=1)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("metaworld") is None or find_spec("deepspeed") is None, reason="needs the extras")
def test_twenty_kills_of_the_whole_pipeline(site: Site) -> None:
    curating, training = times(flow=5, s3=2, prefect=2), times(training=6, flow=3, s3=3, prefect=3)
    havoc = survive(site, ("run", "--preset", "minimal"), curating, training, seed=2)
    assert havoc.killed.total() >= 20, havoc.killed
    assert havoc.killed["training"] >= 4, havoc.killed
