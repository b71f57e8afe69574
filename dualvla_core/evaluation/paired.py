"""Two policies on the same trials: by how much they differ, and whether chance would do that."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dualvla_core.evaluation.statistics import Interval

_DRAWS = 10_000
_CHUNK = 500  # draws at a time, so that thousands of clusters fit into memory
_SEED = 0  # the same numbers always give the same interval


class Pair(NamedTuple):
    """What two policies reached on one trial, in [0, 1]."""

    cluster: Hashable
    """Trials of one cluster are alike: episodes of a task."""
    first: float
    second: float


@dataclass(frozen=True)
class PairedDifference:
    """How two policies compare on the trials both have done."""

    pairs: int
    first: float
    """Mean of the first policy."""
    second: float
    difference: float
    """First minus second."""
    interval: Interval
    """95 % interval of the difference, by a bootstrap over clusters."""
    first_better: int
    """Trials on which the first policy did better; the rest are ties."""
    second_better: int
    p_value: float
    """Two-sided, of the sign test; for successes this is McNemar's exact test."""


def compare_pairs(pairs: Sequence[Pair]) -> PairedDifference:
    """Compare two policies on at least one trial; a single cluster is resampled trial by trial."""
    assert pairs
    differences = [pair.first - pair.second for pair in pairs]
    several = len({pair.cluster for pair in pairs}) > 1
    clusters = [pair.cluster for pair in pairs] if several else list(range(len(pairs)))
    better, worse = sum(each > 0 for each in differences), sum(each < 0 for each in differences)
    return PairedDifference(
        pairs=len(pairs),
        first=math.fsum(pair.first for pair in pairs) / len(pairs),
        second=math.fsum(pair.second for pair in pairs) / len(pairs),
        difference=math.fsum(differences) / len(pairs),
        interval=cluster_bootstrap(zip(clusters, differences, strict=True)),
        first_better=better,
        second_better=worse,
        p_value=sign_test(better, worse),
    )


def sign_test(better: int, worse: int) -> float:
    """The two-sided probability of a split at least this uneven if either outcome were as likely (ties left out).

    On pairs of success and failure this is McNemar's test in its exact form (McNemar 1947).
    """
    trials = better + worse
    tail = sum(math.comb(trials, count) for count in range(min(better, worse) + 1))
    return min(1.0, 2 * tail / (1 << trials))


def cluster_bootstrap(values: Iterable[tuple[Hashable, float]], confidence: float = 0.95) -> Interval:
    """The percentile interval of the mean when whole clusters are drawn with replacement (Field and Welsh 2007).

    Args:
        values: each with its cluster. With few clusters the interval is too narrow; with one it has no width.
        confidence: its nominal coverage.
    """
    sums: dict[Hashable, float] = {}
    counts: dict[Hashable, int] = {}
    for cluster, value in values:
        sums[cluster] = sums.get(cluster, 0.0) + value
        counts[cluster] = counts.get(cluster, 0) + 1
    total, size = np.array(list(sums.values())), np.array(list(counts.values()))
    generator = np.random.default_rng(_SEED)
    means = []
    for _ in range(_DRAWS // _CHUNK):
        drawn = generator.integers(0, len(total), (_CHUNK, len(total)))
        means.append(total[drawn].sum(axis=1) / size[drawn].sum(axis=1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return Interval(float(low), float(high))
