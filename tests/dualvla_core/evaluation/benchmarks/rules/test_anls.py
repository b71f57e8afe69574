from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.anls import anls, edit_distance, score_anls

TEXT = st.text("abc", max_size=6)


@pytest.mark.parametrize(
    ("one", "other", "distance"), [("kitten", "sitting", 3), ("flaw", "lawn", 2), ("", "abc", 3), ("ab", "ba", 2)]
)
def test_edit_distances(one: str, other: str, distance: int) -> None:
    assert edit_distance(one, other) == distance


@settings(deadline=None, max_examples=60)
@given(TEXT, TEXT, TEXT)
def test_edit_distance_is_a_distance(one: str, other: str, third: str) -> None:
    assert edit_distance(one, other) == edit_distance(other, one)
    assert (edit_distance(one, other) == 0) == (one == other)
    assert edit_distance(one, third) <= edit_distance(one, other) + edit_distance(other, third)


def test_less_than_half_alike_counts_for_nothing() -> None:
    assert anls("abcdeXXXXX", ("abcdefghij",)) == 0.5
    assert anls("abcdXXXXXX", ("abcdefghij",)) == 0


def test_the_length_is_that_of_the_text_as_given() -> None:
    assert anls("abc" + " " * 7, ("abd",)) == pytest.approx(0.9)


def test_the_nearest_accepted_text_counts() -> None:
    assert score_anls(Question("1", "?", "['2019', 'in 2019']"), "In 2018").value == pytest.approx(6 / 7)
    assert score_anls(Question("1", "?", "[unclear]"), "[unclear]").value == 1.0  # no list: the cell itself
