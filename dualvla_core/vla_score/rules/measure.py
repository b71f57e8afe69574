"""A verdict's building blocks: numbers in [0, 1] that say where they come from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One aspect of a dimension; ``value`` is 1 at best, 0 at worst."""

    name: str
    value: float
    weight: float
    why: str
    """The numbers behind the value, with units."""


def grade(measures: Sequence[Measure]) -> int:
    """The weighted mean of the measures as an integer 0 to 10, halves rounded up; 0 without any measure."""
    total = sum(measure.weight for measure in measures)
    if not total:
        return 0
    return math.floor(10 * sum(measure.weight * measure.value for measure in measures) / total + 0.5)


def explain(dimension: str, measures: Sequence[Measure], otherwise: str) -> str:
    """One sentence: the dimension's grade and every number in it, or ``otherwise`` where nothing could be measured."""
    parts = ", ".join(f"{measure.name} {measure.value:.2f} ({measure.why})" for measure in measures)
    return f"{dimension} {grade(measures)}: {parts or otherwise}."


def clip(value: float) -> float:
    """The nearest number in [0, 1]."""
    return min(1.0, max(0.0, value))
