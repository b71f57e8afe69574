from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.mmmu_official import (
    conclusions,
    normalise_open,
    open_is_right,
    parse_choice,
    parse_open,
    score_mmmu_official,
)

FRUIT = {"A": "apple", "B": "pear", "C": "plum"}


def test_numbers_are_rounded_and_letters_need_room() -> None:
    assert normalise_open("1,234.567") == [1234.57]
    assert normalise_open(" B ") == [" b", "b "]
    assert normalise_open("24/7") == ["24/7"]


def test_a_line_concludes_with_its_shortest_ending() -> None:
    assert conclusions("So the final answer is 42.") == ["42"]
    assert conclusions("x = 3\ny = 4") == ["4"]  # an equals sign counts in the last line only
    assert conclusions("Maybe.") == ["maybe"]
    assert conclusions("the answer is :") == ["the answer is :"]


def test_every_number_of_a_conclusion_counts() -> None:
    # the pattern for plain numbers also finds the tails of the longer ones, as in the public code
    assert parse_open("It is -1,200 or 1e3 or .5") == ["-1,200 or 1e3 or .5", -1200.0, 1000.0, 200.0, 3.0, 0.5]


@pytest.mark.parametrize(
    ("answer", "truths", "right"),
    [
        ("The total is 12.504 USD", ["12.5"], True),
        ("The total is 125 USD", ["12.5"], False),
        ("Thus it is a Red Giant.", ["giant", "dwarf"], True),
        ("thus abc", ["b"], False),  # a letter must have a space beside it
        ("thus b or c", ["b"], True),
    ],
)
def test_open_answers(answer: str, truths: list[str], right: bool) -> None:
    assert open_is_right(answer, truths) is right
    assert score_mmmu_official(Question("1", "?", str(truths)), answer).value == float(right)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("(A) or rather (C)", "C"),
        ("A, no: B", "B"),
        ("It must be the plum on the table", "C"),
        ("plum", None),  # five words or fewer are not searched for texts
        ("nothing of that kind is on it", None),
    ],
)
def test_the_option_mentioned_last_counts_and_none_is_drawn_by_lot(answer: str, letter: str | None) -> None:
    assert parse_choice(answer, FRUIT) == letter
    score = score_mmmu_official(Question("1", "?", "C", FRUIT), answer)
    assert (score.value, score.note is None) == (float(letter == "C"), letter is not None)
