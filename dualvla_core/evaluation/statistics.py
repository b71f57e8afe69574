"""Intervals for success rates: what a few dozen trials can and cannot tell."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Difference(NamedTuple):
    """How much larger the first of two rates is than the second, with its confidence interval."""

    value: float
    interval: Interval


def wilson_interval(successes: float, trials: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of a binomial rate (Wilson 1927): honest at 0 and 1, where the usual one has no width.

    Without any trial nothing is known: the interval is [0, 1]. ``successes`` may also be a sum of numbers in [0, 1]:
    none vary more than yes and no of the same mean do, so their interval is too wide rather than too narrow.
    """
    assert 0 <= successes <= trials
    assert 0 < confidence < 1
    if trials == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = successes / trials
    centre = rate + z * z / (2 * trials)
    spread = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    # at the ends centre and spread agree exactly; rounding must not leave a hair's breadth between them
    low = 0.0 if successes == 0 else (centre - spread) / scale
    high = 1.0 if successes == trials else (centre + spread) / scale
    return Interval(low, high)


def rate_difference(first: tuple[int, int], second: tuple[int, int], confidence: float = 0.95) -> Difference:
    """The difference of two independent rates, each given as ``(successes, trials)`` with at least one trial.

    The interval is Newcombe's (1998, method 10), put together from the two Wilson intervals.
    """
    rates = [successes / trials for successes, trials in (first, second)]
    one, other = (wilson_interval(successes, trials, confidence) for successes, trials in (first, second))
    value = rates[0] - rates[1]
    down = math.hypot(rates[0] - one.low, other.high - rates[1])
    up = math.hypot(one.high - rates[0], rates[1] - other.low)
    return Difference(value, Interval(value - down, value + up))
