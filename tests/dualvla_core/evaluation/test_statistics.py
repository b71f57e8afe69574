from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.evaluation.statistics import rate_difference, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [  # the worked examples of Newcombe (1998), Statistics in Medicine 17: 857-872, table I
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_intervals_agree_with_published_ones(successes: int, trials: int, low: float, high: float) -> None:
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_half_of_ten_by_hand() -> None:
    # p = 1/2, z = 1.96: centre (1/2 + 3.8415/20) / 1.38415 = 1/2; half width 1.96 sqrt(0.025 + 0.0096036) / 1.38415
    assert wilson_interval(5, 10) == pytest.approx((0.5 - 0.26341, 0.5 + 0.26341), abs=1e-5)


def test_no_trial_tells_nothing() -> None:
    assert wilson_interval(0, 0) == (0, 1)


def test_a_perfect_record_reaches_exactly_one() -> None:
    assert wilson_interval(20, 20).high == 1
    assert wilson_interval(0, 20).low == 0


@settings(deadline=None, max_examples=40)
@given(trials=st.integers(1, 500), share=st.floats(0, 1))
def test_an_interval_holds_its_rate_and_mirrors_that_of_the_failures(trials: int, share: float) -> None:
    successes = round(share * trials)
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low), abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(trials=st.integers(1, 200), factor=st.integers(2, 5))
def test_more_trials_tell_more(trials: int, factor: int) -> None:
    few, many = wilson_interval(trials // 3, trials), wilson_interval(trials // 3 * factor, trials * factor)
    assert many.high - many.low < few.high - few.low


def test_less_confidence_is_narrower() -> None:
    assert wilson_interval(7, 20, 0.8).low > wilson_interval(7, 20, 0.95).low


@pytest.mark.parametrize(
    ("first", "second", "value", "low", "high"),
    [  # Newcombe (1998), Statistics in Medicine 17: 873-890, table II, method 10
        ((56, 70), (48, 80), 0.2, 0.0524, 0.3339),
        ((10, 10), (0, 10), 1.0, 0.6075, 1.0),
        ((9, 10), (3, 10), 0.6, 0.1705, 0.8090),
    ],
)
def test_differences_agree_with_published_ones(
    first: tuple[int, int], second: tuple[int, int], value: float, low: float, high: float
) -> None:
    found = rate_difference(first, second)
    assert found.value == pytest.approx(value)
    assert found.interval == pytest.approx((low, high), abs=5e-5)


def test_a_difference_turns_its_sign_with_its_operands() -> None:
    there, back = rate_difference((12, 20), (5, 30)), rate_difference((5, 30), (12, 20))
    assert back.value == pytest.approx(-there.value)
    assert back.interval == pytest.approx((-there.interval.high, -there.interval.low))


def test_scores_between_failure_and_success_count_in_part() -> None:
    assert wilson_interval(2.5, 10).low < wilson_interval(3, 10).low
    assert wilson_interval(5.0, 10) == wilson_interval(5, 10)
