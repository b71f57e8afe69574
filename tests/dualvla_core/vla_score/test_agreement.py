"""The statistics against reference libraries, and against synthetic raters whose agreement is known."""

from __future__ import annotations

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from dualvla_core.vla_score.agreement import agree, alpha, compare_ratings, kappa, tables
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.ratings import GRADES, RatingsError

BOOTSTRAP = BootstrapConfig(samples=1000)


def raters(agreement: float, count: int = 4000, seed: int = 0) -> np.ndarray:
    """Two raters who see the same grade with probability ``agreement`` and else guess, alike in their base rates."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 11, count)
    guess = random.integers(0, 11, count)
    return np.stack([first, np.where(random.random(count) < agreement, first, guess)], axis=1)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**16), count=st.integers(2, 60), low=st.integers(0, 8))
def test_kappa_and_alpha_are_those_of_the_reference_libraries(seed: int, count: int, low: int) -> None:
    pairs = np.random.default_rng(seed).integers(low, 11, (count, 2))
    pairs[0] = (low, 10)  # both statistics are defined
    table = tables(pairs[None])
    expected = cohen_kappa_score(pairs[:, 0], pairs[:, 1], labels=GRADES, weights="quadratic")
    assert kappa(table)[0] == pytest.approx(expected)
    reference = krippendorff.alpha(reliability_data=pairs.T, level_of_measurement="ordinal", value_domain=GRADES)
    assert alpha(table)[0] == pytest.approx(reference)


def test_kappa_by_hand() -> None:
    # grades 0 0 1 1 against 0 1 1 1: one pair of four is one point off, 1/4;
    # by chance: judge 0 and other 1: 1/2 * 3/4, judge 1 and other 0: 1/2 * 1/4, together 1/2
    pairs = np.array([[0, 0], [0, 1], [1, 1], [1, 1]])
    assert kappa(tables(pairs[None]))[0] == pytest.approx(1 - 0.25 / 0.5)


@pytest.mark.parametrize("agreement", [0.0, 0.3, 0.7, 1.0])
def test_raters_who_agree_so_often_beyond_chance_have_that_kappa(agreement: float) -> None:
    # with equal base rates and guesses that are independent, kappa and alpha are the probability of seeing the same
    found = agree(raters(agreement), BOOTSTRAP)
    assert found.kappa == pytest.approx(agreement, abs=0.04)
    assert found.alpha == pytest.approx(agreement, abs=0.04)
    assert found.spearman == pytest.approx(agreement, abs=0.04)
    assert found.difference == pytest.approx((1 - agreement) * 40 / 11, abs=0.12)  # E|X - Y| of two uniform grades
    assert found.kappa_low is not None
    assert found.kappa_high is not None
    assert found.kappa_low <= found.kappa <= found.kappa_high


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    held = 0
    for seed in range(60):
        found = agree(raters(0.6, 120, seed), BOOTSTRAP)
        assert found.kappa_low is not None
        assert found.kappa_high is not None
        held += found.kappa_low <= 0.6 <= found.kappa_high
    assert held >= 51  # of 57 expected


def test_base_rates_can_make_high_raw_agreement_worthless() -> None:
    # both say 9 in nineteen of twenty cases, independently: they agree in nine of ten, and know nothing of one another
    random = np.random.default_rng(1)
    pairs = np.where(random.random((4000, 2)) < 0.95, 9, 2)
    assert (pairs[:, 0] == pairs[:, 1]).mean() > 0.88
    found = agree(pairs, BOOTSTRAP)
    assert found.kappa == pytest.approx(0, abs=0.05)
    assert found.judge_counts[9] > 3700


def test_a_lenient_judge_ranks_well_and_is_biased() -> None:
    random = np.random.default_rng(2)
    other = random.integers(0, 8, 500)
    found = agree(np.stack([other + 3, other], axis=1), BOOTSTRAP)
    assert found.spearman == found.kendall == pytest.approx(1)
    assert found.bias == found.difference == 3
    assert found.kappa is not None
    assert found.kappa < 0.6


def test_who_always_says_the_same_has_no_correlation() -> None:
    constant = agree(np.array([[7, 7]] * 9), BOOTSTRAP)
    assert constant.kappa is constant.alpha is constant.spearman is constant.kappa_low is None
    one_sided = agree(np.array([[7, 3], [7, 8], [7, 7]]), BOOTSTRAP)
    assert one_sided.spearman is None
    assert one_sided.kappa == pytest.approx(0, abs=0.2)


def test_only_what_both_rated_is_compared() -> None:
    judge = {"a": {"action": 5, "reasoning": 4}, "b": {"action": 7}, "c": {"action": 1}}
    people = {"a": {"action": 5}, "b": {"action": 6, "reasoning": 3}, "d": {"action": 0}}
    report = compare_ratings(("judge", judge), ("Ada", people), "human", BOOTSTRAP, 0.25)
    assert set(report.dimensions) == {"action"}
    assert report.dimensions["action"].trajectories == 2
    assert (report.unmatched, report.disagreement, report.against) == (2, 0.25, "human")
    with pytest.raises(RatingsError, match="share none of their 3 and 1"):
        compare_ratings(("judge", judge), ("Ada", {"x": {"action": 1}}), "human", BOOTSTRAP)
