from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dualvla_core.errors import DependencyError
from infra.tracking import create_trackers

pytest.importorskip("tensorboard")


def test_tensorboard_reads_what_was_tracked(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    (tracker,) = create_trackers(["tensorboard"], tmp_path)
    tracker.add(1, "robot", {"loss": 2.0, "flow": 1.5})
    tracker.add(2, "robot", {"loss": 1.0})
    tracker.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(event.step, event.value) for event in found.Scalars("robot/loss")] == [(1, 2.0), (2, 1.0)]
    assert [event.value for event in found.Scalars("robot/flow")] == [1.5]


def test_weights_and_biases_stays_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Any] = []

    class Run:
        def log(self, values: dict[str, float], step: int) -> None:
            heard.append((step, values))

        def finish(self) -> None:
            heard.append("finished")

    def init(**how: Any) -> Run:
        heard.append(how["mode"])
        return Run()

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    (tracker,) = create_trackers(["wandb"], tmp_path / "run")
    tracker.add(3, "held_out", {"action": 0.5})
    tracker.close()
    assert heard == ["offline", (3, {"held_out/action": 0.5}), "finished"]


def test_the_real_package_writes_a_run_without_any_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb: Any = pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    (tracker,) = create_trackers(["wandb"], tmp_path / "student-key")
    tracker.add(1, "robot", {"loss": 2.0, "flow": 1.5})
    tracker.add(2, "robot", {"loss": 1.0, "flow": 0.5})
    tracker.close()
    wandb.teardown()  # its service writes the rest when the process ends
    (run,) = (tmp_path / "student-key" / "wandb").glob("offline-run-*/*.wandb")
    assert all(name in run.read_bytes() for name in (b"robot/loss", b"robot/flow", b"student-key"))


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DependencyError, match=r"pip install wandb.*execution\.training\.trackers"):
        create_trackers(["wandb"], tmp_path)
