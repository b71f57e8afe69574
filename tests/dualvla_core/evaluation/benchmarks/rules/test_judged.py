from __future__ import annotations

import pytest

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.judged import RUBRIC, JudgeError, judge_prompt, read_grade, score_judged

QUESTION = Question("1", "What is {answer}?", "four<AND>brown")


@pytest.mark.parametrize(
    ("reply", "grade"),
    [(" 0.5\n", 0.5), ("1", 1.0), ("1.01", None), ("-0.1", None), ("nan", None), ("inf", None), ("half", None)],
)
def test_only_numbers_from_0_to_1_are_grades(reply: str, grade: float | None) -> None:
    assert read_grade(reply) == grade


def test_the_prompt_fills_each_place_once() -> None:
    prompt = judge_prompt(RUBRIC, QUESTION, "It has {truth} legs")
    assert prompt.endswith(
        "Question: What is {answer}?\nReference: four <AND> brown\nAnswer: It has {truth} legs\nGrade: "
    )


class Judge:
    def __init__(self, *replies: str | None) -> None:
        self.replies = list(replies)

    def complete(self, prompt: str, temperature: float) -> str:
        reply = self.replies.pop(0)
        if reply is None:
            raise JudgeError("no connection")
        return reply


def test_a_judge_that_fails_is_asked_again() -> None:
    assert score_judged(QUESTION, "brown", Judge(None, "well", "0.4")).value == 0.4


def test_a_judge_that_keeps_failing_leaves_the_score_missing() -> None:
    score = score_judged(QUESTION, "brown", Judge(None, "2", "2", None, "nan"))
    assert score.value is None
    assert (
        score.note
        == "the judge failed 5 times: no connection; '2' is no grade from 0 to 1; 'nan' is no grade from 0 to 1"
    )


def test_a_bug_in_a_judge_is_no_failed_judge() -> None:
    with pytest.raises(IndexError):
        score_judged(QUESTION, "brown", Judge())
