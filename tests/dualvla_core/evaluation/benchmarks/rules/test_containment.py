from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.containment import FORMULAS, score_containment


@pytest.mark.parametrize(
    ("answer", "truth", "category", "right"),
    [
        ("It reads CENTRE.", "['centre']", "Regular Text Recognition", True),
        ("cent re", "['centre']", "Regular Text Recognition", False),
        ("two\nlines", "['two lines']", None, True),
        ("\\frac{1} {2}", "['\\\\frac { 1 } { 2 }']", FORMULAS, True),
        ("X + Y", "['x+y']", FORMULAS, False),  # case matters in formulas
        ("X + Y", "['x+y']", "Digit String Recognition", False),  # spaces matter elsewhere
        ("12", "('1', '2')", None, False),  # no list: the cell itself
        ("plain", "plain", None, True),
    ],
)
def test_an_answer_contains_the_truth(answer: str, truth: str, category: str | None, right: bool) -> None:
    assert score_containment(Question("1", "?", truth, category=category), answer).value == float(right)
