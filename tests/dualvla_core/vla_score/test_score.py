from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.stats import bootstrap as scipy_bootstrap

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.judge import Verdict
from dualvla_core.vla_score.score import (
    CoverageError,
    Scored,
    UnpairedError,
    aggregate,
    compare_policies,
    trajectory_score,
)

GRADE = st.integers(0, 10)
BOOTSTRAP = BootstrapConfig(samples=4000)


def verdict(action: int, intention: int, reasoning: int | None = None, alignment: int | None = None) -> Verdict:
    return Verdict(action=action, intention=intention, reasoning=reasoning, alignment=alignment, thought="")


@pytest.mark.parametrize("policy_type", ["generalist", "dualvla"])
def test_reasoning_policies_by_hand(policy_type: PolicyType) -> None:
    # (0.7 + 0.6 * 0.5) / 2 * 0.8 * 1
    assert trajectory_score(verdict(6, 5, 7, 8), policy_type, success=True) == pytest.approx(0.4)
    assert trajectory_score(verdict(6, 5, 7, 8), policy_type, success=False) == 0


def test_specialists_by_hand() -> None:
    assert trajectory_score(verdict(6, 5), "specialist", success=True) == pytest.approx(0.3)
    assert trajectory_score(verdict(6, 5), "specialist", success=False) == 0


def test_the_branch_follows_the_type_and_not_the_transcript() -> None:
    # a specialist that was judged on words as well is still scored without them
    assert trajectory_score(verdict(6, 5, 7, 8), "specialist", success=True) == pytest.approx(0.3)
    # a silent reasoning policy is no specialist: no evidence of reasoning is a zero
    assert trajectory_score(verdict(10, 10, 0, 0), "dualvla", success=True) == 0


@pytest.mark.parametrize("incomplete", [verdict(6, 5, None, 8), verdict(6, 5, 7, None)])
def test_reasoning_policies_need_all_four_dimensions(incomplete: Verdict) -> None:
    with pytest.raises(ArtifactError, match="dualvla policy was judged without reasoning or alignment"):
        trajectory_score(incomplete, "dualvla", success=True)


@settings(deadline=None, max_examples=40)
@given(action=GRADE, intention=GRADE, reasoning=GRADE, alignment=GRADE, raised=st.integers(0, 3))
def test_a_higher_grade_never_lowers_the_score(
    action: int, intention: int, reasoning: int, alignment: int, raised: int
) -> None:
    grades = [action, intention, reasoning, alignment]
    score = trajectory_score(verdict(*grades), "generalist", success=True)
    assert 0 <= score <= 1
    grades[raised] = min(10, grades[raised] + 1)
    assert trajectory_score(verdict(*grades), "generalist", success=True) >= score


def test_perfection_scores_one_in_both_branches() -> None:
    assert trajectory_score(verdict(10, 10, 10, 10), "dualvla", success=True) == 1
    assert trajectory_score(verdict(10, 10), "specialist", success=True) == 1


@pytest.mark.parametrize("grade", [-1, 11, 4.5])
def test_grades_are_integers_from_zero_to_ten(grade: float) -> None:
    with pytest.raises(ValidationError):
        Verdict.model_validate({"action": grade, "intention": 5, "reasoning": None, "alignment": None, "thought": ""})


def scored(*values: tuple[str, float | None]) -> list[Scored]:
    return [Scored(task, seed, value) for seed, (task, value) in enumerate(values)]


def test_tasks_count_alike_whatever_their_episodes() -> None:
    score = aggregate(scored(("reach", 0.4), ("door-open", 0.9), ("reach", 0.2), ("reach", 0.0)), BOOTSTRAP)
    assert dict(score.tasks) == {"reach": pytest.approx(20), "door-open": pytest.approx(90)}
    assert score.macro == pytest.approx(55)
    assert score.micro == pytest.approx(37.5)
    assert score.coverage == 1
    assert score.possible == pytest.approx((55, 55))


def test_the_score_is_taken_per_trajectory_and_then_averaged() -> None:
    # the product of the column means, (0.5 + 0.5 * 0.5) / 2 * 0.5 * 0.5, would be 0.09
    good = trajectory_score(verdict(10, 10, 10, 10), "dualvla", success=True)
    bad = trajectory_score(verdict(0, 0, 0, 0), "dualvla", success=False)
    assert aggregate(scored(("reach", good), ("reach", bad)), BOOTSTRAP).macro == 50


def test_a_missing_verdict_is_left_out_and_bounds_what_is_possible() -> None:
    score = aggregate(scored(("reach", 0.5), ("reach", None), ("door-open", 0.9)), BOOTSTRAP)
    assert score.macro == pytest.approx((50 + 90) / 2)
    assert score.coverage == pytest.approx(2 / 3)
    assert score.possible == pytest.approx(((25 + 90) / 2, (75 + 90) / 2))


@pytest.mark.parametrize("values", [[0.5, None, 0.5], [None, None]])
def test_a_score_without_enough_verdicts_is_refused(values: list[float | None]) -> None:
    with pytest.raises(CoverageError, match=f"of {len(values)} trajectories have a verdict"):
        aggregate(scored(*(("reach", value) for value in values)), BOOTSTRAP, min_coverage=0.9)


def test_a_task_without_any_verdict_is_not_left_out_silently() -> None:
    with pytest.raises(CoverageError, match="none of 'reach'"):
        aggregate(scored(("door-open", 0.5), ("door-open", 0.5), ("reach", None)), BOOTSTRAP)


def test_intervals_agree_with_an_independent_bootstrap() -> None:
    random = np.random.default_rng(4)
    one, other = random.uniform(0, 1, 30), random.uniform(0, 0.5, 40)
    score = aggregate(scored(*(("a", x) for x in one), *(("b", x) for x in other)), BOOTSTRAP)
    expected = scipy_bootstrap(
        (one, other),
        lambda x, y, axis: 50 * (x.mean(axis) + y.mean(axis)),
        method="percentile",
        rng=7,
        n_resamples=4000,
    ).confidence_interval
    assert score.macro_interval is not None
    assert score.macro_interval == pytest.approx((expected.low, expected.high), abs=0.6)  # Monte-Carlo error
    assert score.macro_interval.low < score.macro < score.macro_interval.high


def test_a_single_trajectory_tells_nothing_about_its_spread() -> None:
    score = aggregate(scored(("a", 0.3), ("b", 0.3), ("b", 0.4)), BOOTSTRAP)
    assert score.macro_interval is None
    assert score.task_intervals["a"] is None
    assert score.task_intervals["b"] is not None


def test_cells_are_resampled_independently() -> None:
    # two equal cells that moved together would have the interval of one of them
    values = np.linspace(0, 1, 20)
    alone = aggregate(scored(*(("a", x) for x in values)), BOOTSTRAP).macro_interval
    both = aggregate(scored(*((task, x) for task in ("a", "b") for x in values)), BOOTSTRAP).macro_interval
    assert alone is not None
    assert both is not None
    assert (both.high - both.low) == pytest.approx((alone.high - alone.low) / 2**0.5, rel=0.1)


def test_a_paired_comparison_by_hand() -> None:
    first = [Scored("a", 1, 0.9), Scored("a", 2, 0.5), Scored("b", 1, 0.2), Scored("b", 2, 0.2), Scored("b", 3, None)]
    second = [Scored("a", 1, 0.6), Scored("a", 2, 0.6), Scored("b", 1, 0.2), Scored("b", 2, 0.0), Scored("b", 3, 0.1)]
    found = compare_policies(first, second, BOOTSTRAP)
    assert found.macro.value == pytest.approx(100 * ((0.3 - 0.1) / 2 + 0.2 / 2) / 2)
    assert (found.pairs, found.unpaired, found.higher, found.lower) == (4, 1, 2, 1)
    assert found.macro.interval.low <= found.macro.value <= found.macro.interval.high


def test_pairing_sees_a_difference_that_the_spread_of_episodes_hides() -> None:
    difficulty = np.linspace(0, 0.9, 20)
    first = [Scored("a", seed, value + 0.05) for seed, value in enumerate(difficulty)]
    second = [Scored("a", seed, value) for seed, value in enumerate(difficulty)]
    assert compare_policies(first, second, BOOTSTRAP).macro.interval.low > 4.9
    alone = [aggregate(each, BOOTSTRAP).macro_interval for each in (first, second)]
    assert alone[0] is not None
    assert alone[1] is not None
    assert alone[0].low < alone[1].high


def test_policies_without_a_shared_episode_are_not_compared() -> None:
    with pytest.raises(UnpairedError, match="share none of their 1 and 1"):
        compare_policies([Scored("a", 1, 0.5)], [Scored("a", 2, 0.5)], BOOTSTRAP)
    with pytest.raises(UnpairedError, match="judged twice"):
        compare_policies([Scored("a", 1, 0.5)] * 2, [Scored("a", 1, 0.5)], BOOTSTRAP)
