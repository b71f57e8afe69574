"""The same bytes from threads, processes and Dask, by one setting."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from infra.artifact_store import ArtifactStore
from infra.object_store import open_store
from tests.dualvla_core.episodes.conftest import Demo, write_v2
from tests.e2e.conftest import CommandLine


def payloads(home: Path) -> dict[str, str]:
    store = ArtifactStore(open_store(str(home / "store")), home / "cache")
    return {str(manifest.ref): manifest.digest for manifest in store.manifests()}


@pytest.mark.parametrize(
    "runner",
    [
        "process",
        pytest.param(
            "dask", marks=pytest.mark.skipif(find_spec("prefect_dask") is None, reason="the extra `dask` is missing")
        ),
    ],
)
def test_the_runner_changes_where_and_not_what(
    runner: str, tmp_path: Path, command_line: Callable[..., CommandLine]
) -> None:
    dataset = write_v2(tmp_path / "demonstrations", [Demo(seed=number, length=12) for number in range(4)])
    command = ("curate", "--dataset", str(dataset), "--set", "execution.segment_episodes=2")
    here, elsewhere = command_line(tmp_path / "thread"), command_line(tmp_path / runner)
    assert here(*command).returncode == 0
    finished = elsewhere(*command, "--set", f"execution.runner={runner}")
    assert finished.returncode == 0, finished.stderr
    assert finished.executed["decode_episodes"] == 2
    assert payloads(elsewhere.home) == payloads(here.home)
