"""What may listen to the record of a training while it is written, such as TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Tracker(Protocol):
    """Hears of every line of the record, on the first process."""

    def add(self, step: int, domain: str, values: Mapping[str, float]) -> None:
        """What was measured at ``step`` (from 1; 0 = before the first)."""

    def close(self) -> None:
        """The training has ended."""
