"""What the loop asks of whoever keeps its checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class CheckpointStore(Protocol):
    """Keeps checkpoints where another machine can continue from them. Only the first process talks to it."""

    def save(self, step: int, folder: Path) -> None:
        """Keep the files of ``folder``, the state after ``step`` steps; atomic, and the files may be moved away."""
        ...

    def latest(self) -> tuple[int, Path] | None:
        """The furthest complete checkpoint as a folder to read from, and its step; None where there is none."""
        ...


@dataclass(frozen=True)
class Checkpoints:
    """Where a training keeps its state.

    Args:
        store: keeps what is saved; None = nothing is saved, and a killed training begins anew.
        every: steps between two checkpoints.
        scratch: a folder all processes share, for files on their way and for batches that broke the loss.
    """

    store: CheckpointStore | None
    every: int
    scratch: Path
