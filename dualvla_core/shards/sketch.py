"""A histogram of any numbers that merges exactly, for quantiles of data that is too large to sort.

A bin is all float32 values that share their sign, exponent and leading mantissa bits, so its width is a fixed share of
its value, from the smallest number to the largest, without knowing the range beforehand. Counts of two parts add up to
those of the whole: the result does not depend on how data was cut or in which order it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

MANTISSA_BITS = 10
QUANTILE_ERROR = 2.0 ** -(MANTISSA_BITS + 1)
"""How far a quantile may be from the exact one, relative to the larger of the two values it lies between."""

_SHIFT = 23 - MANTISSA_BITS
_SIGN = np.uint32(1 << 31)


@dataclass
class Sketch:
    """One dimension's numbers: exact count, mean, squared distances, extremes; quantiles within `QUANTILE_ERROR`.

    Values that are not finite are left out.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""
    minimum: float = np.inf
    maximum: float = -np.inf
    bins: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """The bins that hold something, ascending, and how much each holds."""
    counts: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    def add(self, values: NDArray[np.float32]) -> None:
        """Count ``values`` ``[N]``."""
        is_finite = np.isfinite(values)
        finite = np.ascontiguousarray(values if is_finite.all() else values[is_finite])
        if not finite.size:
            return
        mean = float(finite.mean(dtype=np.float64))
        squares = float(np.square(finite - mean, dtype=np.float64).sum())
        counts = np.bincount(_bins(finite))
        held = np.flatnonzero(counts)
        self.merge(Sketch(finite.size, mean, squares, float(finite.min()), float(finite.max()), held, counts[held]))

    def merge(self, other: Sketch) -> None:
        """Count what ``other`` counted; moments after Chan, Golub and LeVeque (1979)."""
        total = self.count + other.count
        if total == 0:
            return
        apart = other.mean - self.mean
        self.squares += other.squares + apart**2 * self.count * other.count / total
        self.mean += apart * other.count / total
        self.count = total
        self.minimum, self.maximum = min(self.minimum, other.minimum), max(self.maximum, other.maximum)
        joined = np.concatenate([self.bins, other.bins])
        order = np.argsort(joined, kind="stable")  # which merges two ascending runs in one pass
        bins = joined[order]
        starts = np.flatnonzero(np.diff(bins, prepend=-1))
        self.bins = bins[starts]
        self.counts = np.add.reduceat(np.concatenate([self.counts, other.counts])[order], starts)

    @property
    def std(self) -> float:
        """Population standard deviation; 0 where nothing was counted."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    def quantile(self, share: float) -> float:
        """The quantile of ``share`` in [0, 1], interpolated linearly between neighbours; of at least one value."""
        rank = share * (self.count - 1)
        ends = np.cumsum(self.counts)
        below, above = (
            self._middle(int(self.bins[np.searchsorted(ends, place, side="right")]))
            for place in (np.floor(rank), np.ceil(rank))
        )
        return float(below + (above - below) * (rank - np.floor(rank)))

    def _middle(self, index: int) -> float:
        """The middle of a bin, within the extremes."""
        low, high = (_value(edge) for edge in (index, index + 1))
        return float(np.clip((low + high) / 2, self.minimum, self.maximum))


def _bins(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """The bin of each value, ascending with the values."""
    bits = values.view(np.int32)
    # negative numbers count backwards: turn their bits round, and put positive ones above them
    turned = (bits >> 31).view(np.uint32) | _SIGN
    return np.asarray((bits.view(np.uint32) ^ turned) >> np.uint32(_SHIFT), np.int64)


def _value(edge: int) -> float:
    """The number at the lower edge of a bin."""
    ordered = np.uint32(min(edge << _SHIFT, 2**32 - 1))
    bits = ordered ^ _SIGN if ordered & _SIGN else ~ordered
    return float(np.asarray(bits, np.uint32).view(np.float32))


def describe(sketches: list[Sketch]) -> dict[str, list[float | None]]:
    """Mean, standard deviation, extremes, and 1 % and 99 % quantile per dimension; null where nothing was counted."""
    result: dict[str, list[Any]] = {name: [] for name in ("mean", "std", "min", "max", "q01", "q99")}
    for sketch in sketches:
        numbers: list[float | None] = [None] * len(result)
        if sketch.count:
            extremes = [sketch.minimum, sketch.maximum]
            numbers = [sketch.mean, sketch.std, *extremes, sketch.quantile(0.01), sketch.quantile(0.99)]
        for name, number in zip(result, numbers, strict=True):
            result[name].append(number)
    return result
