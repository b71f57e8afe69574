"""Trackers of trainings: TensorBoard's event files; Weights & Biases, offline unless its own settings differ."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualvla_core.errors import DependencyError
from dualvla_core.training.config import TrackerName
from dualvla_core.training.tracking import Tracker

PROJECT = "dualvla"


class TensorBoard:
    """Event files in ``folder``: ``tensorboard --logdir`` shows them while they grow."""

    def __init__(self, folder: Path) -> None:
        self._writer: Any = _imported("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(folder))

    def add(self, step: int, domain: str, values: Mapping[str, float]) -> None:
        """A scalar ``domain/name`` per value."""
        for name, value in values.items():
            self._writer.add_scalar(f"{domain}/{name}", value, step)

    def close(self) -> None:
        """Write what is buffered."""
        self._writer.close()


class WeightsAndBiases:
    """A run of the project ``dualvla``; without ``WANDB_MODE`` it stays on this machine, for ``wandb sync``."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        mode = os.environ.get("WANDB_MODE", "offline")
        self._run: Any = _imported("wandb", "wandb").init(
            project=PROJECT, name=folder.name, dir=str(folder), mode=mode, settings={"console": "off", "quiet": True}
        )

    def add(self, step: int, domain: str, values: Mapping[str, float]) -> None:
        """A value ``domain/name`` each."""
        self._run.log({f"{domain}/{name}": value for name, value in values.items()}, step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


def create_trackers(names: Sequence[TrackerName], folder: Path) -> list[Tracker]:
    """The trackers of these names, all writing into ``folder``.

    Raises `DependencyError` where a package is missing.
    """
    kinds: dict[TrackerName, type[TensorBoard | WeightsAndBiases]] = {
        "tensorboard": TensorBoard,
        "wandb": WeightsAndBiases,
    }
    return [kinds[name](folder) for name in names]


def _imported(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DependencyError(
            f"A training was told to track itself by {package}, which is not installed ({error}): install it with "
            f"`pip install {package}`, or leave it out of execution.training.trackers."
        ) from error
