"""The geometry of the report's drawings: data to SVG path strings, nothing else.

Drawings use a view box of `WIDTH` x `HEIGHT` units that the page stretches to the column, so strokes are set not to
scale and text never lies inside them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

WIDTH = 1000.0
HEIGHT = 100.0

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Run = tuple[int, int]


@dataclass(frozen=True)
class Scale:
    """Maps ``[low, high]`` of the data linearly to ``[start, stop]`` of the drawing (middle where low == high)."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The place of ``value`` in the drawing; values outside the range lie outside."""
        if self.high == self.low:
            return (self.start + self.stop) / 2
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def number(value: float) -> str:
    """A coordinate with at most two decimals and no trailing zeros."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def polyline(xs: Sequence[float] | Floats, ys: Sequence[float] | Floats, x: Scale, y: Scale) -> str:
    """Path through the points ``(xs[i], ys[i])``; a NaN ends one stroke and the next number starts another."""
    parts: list[str] = []
    drawing = False
    for horizontal, vertical in zip(xs, ys, strict=True):
        if math.isnan(vertical):
            drawing = False
            continue
        parts.append(f"{'L' if drawing else 'M'}{number(x(horizontal))} {number(y(vertical))}")
        drawing = True
    return "".join(parts)


def envelope(xs: Floats, ys: Floats, columns: int) -> tuple[Floats, Floats]:
    """At most ``2 * columns`` of the points, keeping each column's lowest and highest, so no peak is lost."""
    if len(xs) <= 2 * columns:
        return xs, ys
    chosen: list[int] = []
    for column in np.array_split(np.arange(len(xs)), columns):
        values = ys[column]
        if np.isnan(values).all():
            chosen.append(int(column[0]))
            continue
        ends = {int(column[np.nanargmin(values)]), int(column[np.nanargmax(values)])}
        chosen.extend(sorted(ends))
    return xs[chosen], ys[chosen]


def runs(flags: Flags) -> list[Run]:
    """Half-open ``(start, stop)`` of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def rectangle(left: float, top: float, width: float, height: float) -> str:
    """Closed path of one rectangle."""
    return f"M{number(left)} {number(top)}h{number(width)}v{number(height)}h{number(-width)}z"


def bands(spans: Iterable[Run], x: Scale, top: float = 0.0, height: float = HEIGHT) -> str:
    """Path of one rectangle per span, ``height`` high."""
    return "".join(rectangle(x(start), top, x(stop) - x(start), height) for start, stop in spans)


def marks(positions: Iterable[float], x: Scale, top: float = 0.0, bottom: float = HEIGHT) -> str:
    """Path of one vertical line per position."""
    return "".join(f"M{number(x(position))} {number(top)}V{number(bottom)}" for position in positions)


def bars(values: Sequence[float], x: Scale, y: Scale, gap: float = 0.15) -> str:
    """Path of one bar per value, standing on ``y(0)``; ``gap`` is the empty share of each bar's column."""
    base = y(0.0)
    parts = []
    for index, value in enumerate(values):
        left, right = x(index + gap / 2), x(index + 1 - gap / 2)
        parts.append(rectangle(left, y(value), right - left, base - y(value)))
    return "".join(parts)


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2 and 5 times a power of ten that divides ``span`` into at most ``most`` steps."""
    if span <= 0:
        raise ValueError(f"A step needs a positive span, got {span}.")
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= most * (1 + 1e-9))


def ticks(high: float, most: int = 8) -> list[float]:
    """Round positions from 0 up to ``high``, at most ``most`` steps apart."""
    if high <= 0:
        return [0.0]
    step = nice_step(high, most)
    return [index * step for index in range(math.floor(high / step + 1e-9) + 1)]


def apart(wanted: Sequence[float], gap: float, most: float) -> list[float]:
    """Places near the wanted ones in [0, ``most``], at least ``gap`` from each other as far as there is room."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    found = list(wanted)
    for lower, upper in pairwise(order):
        found[upper] = max(found[upper], found[lower] + gap)
    excess = max((found[index] for index in order), default=0.0) - most
    if excess > 0:
        ceiling = most
        for index in reversed(order):
            found[index] = min(found[index], ceiling)
            ceiling = found[index] - gap
    return found
