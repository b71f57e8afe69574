from __future__ import annotations

import pytest

from dualvla_core.vla_score.rules.measure import Measure, clip, explain, grade


def test_a_grade_is_the_weighted_mean_out_of_ten() -> None:
    measures = [Measure("a", 1.0, 0.6, ""), Measure("b", 0.25, 0.2, "")]
    assert grade(measures) == 8  # 10 * (0.6 + 0.05) / 0.8 = 8.125


@pytest.mark.parametrize(("value", "expected"), [(0.0, 0), (0.049, 0), (0.05, 1), (0.149, 1), (0.25, 3), (1.0, 10)])
def test_halves_are_rounded_up(value: float, expected: int) -> None:
    assert grade([Measure("a", value, 1, "")]) == expected


def test_no_evidence_is_a_zero_with_its_reason() -> None:
    assert grade([]) == 0
    assert explain("Action", [], "the hand hardly moved") == "Action 0: the hand hardly moved."


def test_every_number_is_explained() -> None:
    told = explain("Action", [Measure("time", 0.5, 1, "150 of 200 steps"), Measure("calm", 1, 1, "2 turns")], "-")
    assert told == "Action 8: time 0.50 (150 of 200 steps), calm 1.00 (2 turns)."


@pytest.mark.parametrize(("value", "expected"), [(-1, 0), (0.3, 0.3), (7, 1)])
def test_values_are_clipped(value: float, expected: float) -> None:
    assert clip(value) == expected
