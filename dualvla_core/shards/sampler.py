"""In which order training visits the samples of one source or of a weighted mixture of several.

The order is a function of the seed and the place in it, and of nothing else. So a training that stopped goes on from
the number of steps it had made, with any number of loader workers, and on any number of processes that divides the
batch: each takes its share of the same global batch.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dualvla_core.errors import ConfigError
from dualvla_core.shards.shuffle import Permutation

_BLOCK = 4096
"""Places in which every source gets its exact share; a weight counts in steps of one in so many."""
_MIXING, _SHUFFLING = range(2)


class SampleOrder:
    """An endless order over sources of ``lengths`` samples, numbered one source after another.

    Without ``weights`` all samples come in one exact shuffle per pass: every sample once before any comes again, and
    the passes follow each other without a break. With ``weights`` (relative, one per source) the same holds within
    each source, and of any 4096 places from a multiple of 4096 on each source has its exact share, spread at random.
    Memory stays constant however many samples there are.

    Raises `ConfigError` for sources and weights that do not fit.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float] | None = None, seed: int = 0) -> None:
        if not lengths or min(lengths) < 1:
            raise ConfigError(
                f"The sources hold {list(lengths)} samples; give at least one source, and none that is empty."
            )
        self._lengths = (sum(lengths),) if weights is None else tuple(lengths)
        self._first = np.cumsum([0, *self._lengths[:-1]])
        self._shares = _shares([1.0] if weights is None else weights, len(self._lengths))
        self._seed = seed
        self._permutation = functools.lru_cache(maxsize=2 * len(self._lengths))(self._new_permutation)
        self._block = functools.lru_cache(maxsize=2)(self._new_block)

    def rows(self, start: int, stop: int) -> NDArray[np.int64]:
        """The samples at the places ``start`` to ``stop`` of the order ``[stop - start]``."""
        if len(self._lengths) == 1:  # one source needs no mixing
            return self._visited(0, np.arange(start, stop))
        parts = [np.zeros(0, np.int64)]
        for block in range(start // _BLOCK, -(-stop // _BLOCK)):
            first = block * _BLOCK
            parts.append(self._block(block)[max(start - first, 0) : stop - first])
        return np.concatenate(parts)

    def _new_block(self, block: int) -> NDArray[np.int64]:
        sources = np.repeat(np.arange(len(self._lengths)), self._shares)
        sources = sources[Permutation(_BLOCK, self._seed, _MIXING, block)(np.arange(_BLOCK))]
        rows = np.empty(_BLOCK, np.int64)
        for source, share in enumerate(self._shares.tolist()):
            visits = block * share + np.arange(share)
            rows[sources == source] = self._first[source] + self._visited(source, visits)
        return rows

    def _visited(self, source: int, visits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Which samples of a source its visits number ``visits`` fall on."""
        passes, places = np.divmod(visits, self._lengths[source])
        rows = np.empty(len(visits), np.int64)
        for number in np.unique(passes).tolist():
            now = passes == number
            rows[now] = self._permutation(source, number)(places[now])
        return rows

    def _new_permutation(self, source: int, number: int) -> Permutation:
        return Permutation(self._lengths[source], self._seed, _SHUFFLING, source, number)


@dataclass(frozen=True)
class BatchSampler:
    """The batches of one process, as lists of samples: what `torch.utils.data.DataLoader` takes as ``batch_sampler``.

    Args:
        order: the order of all samples.
        batch_size: samples of a step over all processes; a multiple of ``processes``.
        rank: this process, counted from 0.
        processes: how many there are.
        start: steps that were made before, by whatever number of processes.
        steps: the last step's number; None = no end.
    """

    order: SampleOrder
    batch_size: int
    rank: int = 0
    processes: int = 1
    start: int = 0
    steps: int | None = None

    def __post_init__(self) -> None:
        if self.batch_size % self.processes:
            raise ConfigError(
                f"A batch of {self.batch_size} cannot be shared equally by {self.processes} processes; choose a "
                "multiple."
            )

    def __iter__(self) -> Iterator[list[int]]:
        for step in itertools.count(self.start) if self.steps is None else range(self.start, self.steps):
            batch = self.order.rows(step * self.batch_size, (step + 1) * self.batch_size)
            yield batch[self.rank :: self.processes].tolist()

    def __len__(self) -> int:
        """Raises TypeError where there is no end, as iterables without a length do."""
        if self.steps is None:
            raise TypeError("an endless sampler has no length")
        return max(0, self.steps - self.start)


def _shares(weights: Sequence[float], sources: int) -> NDArray[np.int64]:
    """Places of each source in a block, by largest remainder. Raises `ConfigError` where one would have none."""
    if len(weights) != sources or not all(0 < weight < float("inf") for weight in weights):
        raise ConfigError(
            f"The mixture weights {list(weights)} do not fit {sources} sources; give one positive number for each."
        )
    exact = np.array(weights, np.float64) / sum(weights) * _BLOCK
    if exact.min() < 1:
        raise ConfigError(
            f"The mixture weight {min(weights):g} of {sum(weights):g} is less than one sample in {_BLOCK}; raise it."
        )
    shares = np.floor(exact).astype(np.int64)
    shares[np.argsort(shares - exact, kind="stable")[: _BLOCK - int(shares.sum())]] += 1
    return shares
