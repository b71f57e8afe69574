"""An exact shuffle of any number of samples in constant memory: nothing but a formula, which any process can ask."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 8
_DRAWN = 1 << 16
"""Up to this size a table is drawn outright: small digits would not mix well."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Permutation:
    """A pseudo-random permutation of ``range(size)``, another one for every ``key``.

    A generalised Feistel network (Black and Rogaway, "Ciphers with Arbitrary Finite Domains", 2002): a place is written
    as two digits, each in turn is shifted by a hash of the other, and what leaves the range walks on until it is back.
    Every step can be undone, so no two places share a row, and no table of rows has to be held.
    """

    def __init__(self, size: int, *key: int) -> None:
        key = (len(key), *key)  # (1,) and (1, 0) would seed alike
        self.size = size
        self._table = np.random.default_rng(key).permutation(size) if size <= _DRAWN else None
        self._columns = max(1, math.isqrt(size))
        self._rows = -(-size // self._columns)
        self._keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)

    def __call__(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The row at each of ``places`` ``[N]``. Raises IndexError outside ``[0, size)``."""
        if len(places) and not (places.min() >= 0 and places.max() < self.size):
            raise IndexError(f"places {places.min()} to {places.max()} of a permutation of {self.size}")
        if self._table is not None:
            return self._table[places]
        rows = self._shifted(places)
        outside = rows >= self.size
        while outside.any():
            rows[outside] = self._shifted(rows[outside])
            outside = rows >= self.size
        return rows

    def _shifted(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """One bijection of ``range(rows * columns)``."""
        high, low = np.divmod(places.astype(np.uint64), np.uint64(self._columns))
        for number, key in enumerate(self._keys):
            if number % 2:
                high = (high + _hash(low ^ key)) % np.uint64(self._rows)
            else:
                low = (low + _hash(high ^ key)) % np.uint64(self._columns)
        return (high * np.uint64(self._columns) + low).astype(np.int64)


def _hash(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014), halved so that a sum with a digit cannot overflow."""
    values = (values + _GOLDEN) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (values ^ (values >> np.uint64(31))) >> np.uint64(1)
