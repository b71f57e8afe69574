"""How long work tells its caller how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives how many of ``total`` units are done; the unit is the caller's (episodes, frames)."""

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` are done."""


def silent(done: int, total: int) -> None:
    """A `Progress` nobody listens to."""
