from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.vla_score.judge import Verdict
from dualvla_core.vla_score.score import aggregate, trajectory_score

GRADE = st.integers(0, 10)


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


def test_tasks_count_alike_whatever_their_episodes() -> None:
    score = aggregate([("reach", 0.4), ("door-open", 0.9), ("reach", 0.2), ("reach", 0.0)])
    assert dict(score.tasks) == {"reach": pytest.approx(20), "door-open": pytest.approx(90)}
    assert score.macro == pytest.approx(55)
    assert score.micro == pytest.approx(37.5)


def test_the_score_is_taken_per_trajectory_and_then_averaged() -> None:
    # the product of the column means, (0.5 + 0.5 * 0.5) / 2 * 0.5 * 0.5, would be 0.09
    good = trajectory_score(verdict(10, 10, 10, 10), "dualvla", success=True)
    bad = trajectory_score(verdict(0, 0, 0, 0), "dualvla", success=False)
    assert aggregate([("reach", good), ("reach", bad)]).macro == 50
