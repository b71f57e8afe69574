"""The processes of a training, as the objective sees them."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Ranks(Protocol):
    """Which of how many processes this one is; sample ``i`` of a global batch is on process ``i % size``."""

    @property
    def rank(self) -> int:
        """This process, from 0."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def average(self, values: Tensor) -> Tensor:
        """The mean of ``values`` over the processes; every process must call it."""
        ...


class Alone:
    """A training of one process."""

    rank = 0
    size = 1

    def average(self, values: Tensor) -> Tensor:
        """The values themselves."""
        return values


ALONE = Alone()
