from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.multiple_choice import (
    infer_option,
    named_option,
    quoted_option,
    score_choice,
    score_mmmu,
)

FRUIT = {"A": "a red apple", "B": "a green pear", "C": "two plums"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("[B]", "B"),
        ("{C}!", "C"),
        ("Option C is what I would say here", None),  # the letter stands before the last four words
        ("I would say that it is C here", "C"),
        ("C or C", "C"),
        ("A, B", None),
        ("A/B", None),  # a slash parts no words
        ("none: Z", "Z"),
        ("b", None),
        ("", None),
        ("Cannot determine the answer", "Z"),
        ("Failed to obtain answer via API. B", None),
    ],
)
def test_a_letter_names_an_option(answer: str, letter: str | None) -> None:
    assert named_option(answer, FRUIT) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("TWO PLUMS", "C"),
        ("a red apple or a green pear", None),
        ("an apple", None),
        ("two plums" + "." * 55, "C"),  # 64 characters; the options have 32 in all
        ("two plums" + "." * 56, None),
    ],
)
def test_a_text_quotes_an_option(answer: str, letter: str | None) -> None:
    assert sum(map(len, FRUIT.values())) == 32
    assert quoted_option(answer, FRUIT) == letter


def test_a_letter_counts_more_than_a_text() -> None:
    assert infer_option("B: two plums", FRUIT) == "B"
    assert infer_option("It shows two plums", FRUIT) == "C"


def test_an_answer_that_chooses_nothing_is_wrong_and_says_so() -> None:
    question = Question("1", "Which?", "B", FRUIT)
    right, declined, unclear = (score_choice(question, answer) for answer in ("B", "Z", "I like fruit"))
    assert (right.value, right.understood, right.note) == (1.0, "B", None)
    assert (declined.value, declined.understood) == (0.0, "Z")
    assert (unclear.value, unclear.understood, unclear.note) == (0.0, None, "no option can be inferred")


def test_an_open_question_of_mmmu_is_a_choice_between_its_answer_and_others() -> None:
    question = Question("1", "How much?", "24/7")
    assert score_mmmu(question, "It is 24/7").value == 1.0
    assert score_mmmu(question, "A").value == 1.0
    assert score_mmmu(question, "B").value == 0.0
    assert score_mmmu(question, "25").note == "no option can be inferred"
    assert score_mmmu(Question("1", "Which?", "C", FRUIT), "C").value == 1.0
