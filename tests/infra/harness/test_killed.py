"""SIGKILL to the whole of a run: its processes end with it, and no episode that it finished is played again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.trajectory import read_rollouts
from infra.harness.job import PolicySpec

MakeSpec = Callable[..., PolicySpec]


def wait(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def begin(config: RolloutConfig, spec: MakeSpec, tmp_path: Path) -> Callable[[str], subprocess.Popen[bytes]]:
    """Start a run of fifty episodes on a machine of its own, over one object store."""
    many = config.model_copy(update={"episodes_per_task": 25})

    def start(machine: str) -> subprocess.Popen[bytes]:
        job = tmp_path / f"{machine}.json"
        facts = {"config": many.model_dump(mode="json"), "policy": spec().model_dump(mode="json")}
        facts |= {"folder": str(tmp_path / machine), "store": (tmp_path / "store").as_uri()}
        job.write_text(json.dumps(facts))
        return subprocess.Popen([sys.executable, "-m", "tests.infra.harness.killed", str(job)])

    return start


def test_a_killed_run_loses_no_finished_episode(
    begin: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    kept = tmp_path / "store" / "work" / "job" / "episodes"
    killed = begin("one")
    wait(lambda: kept.is_dir() and len(list(kept.iterdir())) >= 5)
    children = psutil.Process(killed.pid).children(recursive=True)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert len(children) >= 4  # two players, two servers
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert 5 <= len(before) < 50
    assert begin("another").wait(timeout=120) == 0
    after = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert {name: after[name] for name in before} == before
    rollouts = read_rollouts(tmp_path / "another" / "output")
    assert (len(rollouts), sum(rollouts["success"].to_pylist())) == (50, 26)
