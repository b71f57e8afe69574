from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.models.adaptation import PartSize
from dualvla_core.training.checkpoints import Checkpoints, CheckpointStore
from dualvla_core.training.config import TrainingExecution
from dualvla_core.training.engine import ProcessGroup
from dualvla_core.training.plan import TrainingInputs, TrainingPlan
from dualvla_core.training.stage import train_policy
from tests.dualvla_core.training.tiny_data import MODEL, TRAINING, write_data


@pytest.fixture(scope="session")
def group() -> ProcessGroup:
    return ProcessGroup(TrainingExecution())


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingInputs:
    return write_data(tmp_path_factory.mktemp("data"))


class FolderStore:
    """Keeps checkpoints in folders."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.saved: list[int] = []

    def save(self, step: int, folder: Path) -> None:
        shutil.copytree(folder, self.folder / str(step))
        self.saved.append(step)

    def latest(self) -> tuple[int, Path] | None:
        return (self.saved[-1], self.folder / str(self.saved[-1])) if self.saved else None


@dataclass
class Heard:
    """Notes what a training says of itself, and dies after so many steps."""

    die_after: int | None = None
    steps: list[tuple[int, int, float, float]] = field(default_factory=list)
    parts: list[PartSize] = field(default_factory=list)

    def begins(self, parts: Sequence[PartSize]) -> None:
        self.parts += parts

    def stepped(self, done: int, total: int, samples_per_s: float, loss: float) -> None:
        if self.die_after is not None and done > self.die_after:
            raise KeyboardInterrupt
        self.steps.append((done, total, samples_per_s, loss))


@dataclass(frozen=True)
class Trained:
    """What a training left behind."""

    output: Path
    summary: dict[str, Any]
    heard: list[tuple[int, int, float, float]]
    parts: list[PartSize]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "metrics.jsonl").read_text().splitlines()]

    @property
    def losses(self) -> list[float]:
        return [line["loss"] for line in self.metrics]

    def file(self, name: str) -> bytes:
        return (self.output / name).read_bytes()


Train = Callable[..., Trained]


@pytest.fixture
def train(group: ProcessGroup, data: TrainingInputs, tmp_path: Path) -> Train:
    """Trains in this process: ``(policy, training=..., inputs=..., store=..., every=..., die_after=...)``."""
    number = iter(range(100))

    def run(
        policy: str = "specialist",
        training: dict[str, Any] | None = None,
        inputs: TrainingInputs = data,
        store: CheckpointStore | None = None,
        every: int = 2,
        die_after: int | None = None,
        **plan: Any,
    ) -> Trained:
        heard = Heard(die_after)
        output = tmp_path / f"output-{next(number)}"
        output.mkdir()
        described = TrainingPlan.model_validate(
            {
                "policy": policy,
                "training": TRAINING.model_copy(update=training or {}),
                "model": None if inputs.initial else MODEL,
                "inputs": inputs,
                **plan,
            }
        )
        summary = train_policy(described, group, Checkpoints(store, every, tmp_path / "scratch"), output, heard)
        return Trained(output, summary, heard.steps, heard.parts)

    return run


@pytest.fixture
def folder_store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "kept")
