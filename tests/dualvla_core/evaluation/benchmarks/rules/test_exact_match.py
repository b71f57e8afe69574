from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.exact_match import normalise_answer, score_exact


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Yes", "yes.", True),
        ("  The red   ball", "red ball!", True),
        ("two", "2", True),
        ("to the left", "To the left", True),
        ("A", "a.", True),
        ("A", "The", False),
        ("left", "right", False),
        ("yes", "yes and no", False),
        ("another", "other", False),
        ("", "no", False),
    ],
)
def test_answers_count_as_the_same_by_their_words(one: str, other: str, same: bool) -> None:
    assert (normalise_answer(one) == normalise_answer(other)) is same
    assert score_exact(Question("1", "?", other), one).value == float(same)


def test_an_answer_without_words_is_noted() -> None:
    assert score_exact(Question("1", "?", "yes"), "...").note == "says nothing"
