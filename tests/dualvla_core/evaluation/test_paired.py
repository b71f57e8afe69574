from __future__ import annotations

import pytest

from dualvla_core.evaluation.paired import Pair, cluster_bootstrap, compare_pairs, sign_test
from dualvla_core.evaluation.statistics import Interval


@pytest.mark.parametrize(
    ("better", "worse", "probability"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (6, 0, 2 / 64),
        (1, 9, 2 * 11 / 1024),  # 1 + 10 of the 1024 ways
        (9, 1, 2 * 11 / 1024),
    ],
)
def test_the_sign_test_counts_the_uneven_splits(better: int, worse: int, probability: float) -> None:
    assert sign_test(better, worse) == pytest.approx(probability)


def test_a_comparison_by_hand() -> None:
    firsts, seconds = (1, 1, 1, 0), (1, 0, 0, 1)
    pairs = [
        Pair("reach" if n < 2 else "door", one, two) for n, (one, two) in enumerate(zip(firsts, seconds, strict=True))
    ]
    found = compare_pairs(pairs)
    assert (found.pairs, found.first, found.second, found.difference) == (4, 0.75, 0.5, 0.25)
    assert (found.first_better, found.second_better) == (2, 1)
    assert found.p_value == 1.0  # 2 * (1 + 3) / 8
    # the tasks' differences are 1/2 and 0: two draws of two tasks make 0 (1 in 4), 1/4 or 1/2 (1 in 4)
    assert found.interval == Interval(0.0, 0.5)


def test_alike_episodes_tell_less_than_independent_ones() -> None:
    values = [(task, float(task % 2)) for task in range(10) for _ in range(20)]
    clustered = cluster_bootstrap(values)
    independent = cluster_bootstrap((number, value) for number, (_, value) in enumerate(values))
    assert clustered.high - clustered.low > 3 * (independent.high - independent.low)
    # ten draws of ten tasks: the 2.5 % and 97.5 % quantiles of Binomial(10, 1/2) are 2 and 8
    assert clustered == Interval(0.2, 0.8)


def test_clusters_of_other_sizes_weigh_by_their_size() -> None:
    low, high = cluster_bootstrap([("a", 1.0), ("b", 0.0), ("b", 0.0), ("b", 0.0)], confidence=0.4)
    assert (low, high) == (0.0, 1.0) or low == pytest.approx(0.25)


def test_a_single_task_is_resampled_by_episodes() -> None:
    found = compare_pairs([Pair("reach", 1, n % 2) for n in range(8)])
    assert found.interval.low < 0.5 < found.interval.high


def test_the_same_numbers_give_the_same_interval() -> None:
    pairs = [Pair(n % 3, float(n % 2), float(n % 5 == 0)) for n in range(30)]
    assert compare_pairs(pairs) == compare_pairs(pairs)
