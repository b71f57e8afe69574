from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.vqa_accuracy import normalise, score_vqa, vqa_accuracy


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("yall'd've", "y'all'd've"),
        ("ows'at", "ows'at"),  # two apostrophes short: not in the public table
        ("twas", "'twas"),
        ("somebody'd", "somebodyd"),
        ("NONE", "0"),
        ("x-b", "x b"),
        ("a-b", "b"),  # the dash parts the words, then the article goes
        ("x- b", "x b"),
        ("x-y 1,000", "xy 1000"),  # a comma in a number makes every mark vanish
        ("end. 3.5 .", "end 3.5"),
        ("one\ntwo\tthree", "1 2 3"),
    ],
)
def test_texts_are_normalised(text: str, normal: str) -> None:
    assert normalise(text) == normal


def test_full_stops_beyond_the_thirty_second_stay() -> None:
    assert normalise("." * 40) == "." * 8


def test_three_who_agree_are_enough_once_one_is_left_out() -> None:
    # 3 of 10 agree: left out among the 7 others each sees 3 of 3, left out among the 3 each sees 2 of 3
    assert vqa_accuracy("yes", ("yes",) * 3 + ("no",) * 7) == pytest.approx((7 * 1 + 3 * 2 / 3) / 10)
    assert vqa_accuracy("yes", ("yes",)) == 0  # nobody is left to agree


def test_annotators_are_read_from_the_cell() -> None:
    score = score_vqa(Question("1", "?", "['Two', 'two', '2', 'the 2', 'three']"), "two.")
    assert score.understood == "2"
    assert score.value == 1.0
