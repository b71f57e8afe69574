"""OCRBench: an answer is right if it contains one of the accepted texts."""

from __future__ import annotations

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.score import Score, accepted_answers

FORMULAS = "Handwritten Mathematical Expression Recognition"
"""The category in which spaces do not matter and case does."""
TEXT_RECOGNITION = frozenset(
    {
        "Regular Text Recognition",
        "Irregular Text Recognition",
        "Artistic Text Recognition",
        "Handwriting Recognition",
        "Digit String Recognition",
        "Non-Semantic Text Recognition",
    }
)
"""The categories that are reported together as text recognition."""


def contains_answer(answer: str, truths: tuple[str, ...], category: str | None) -> bool:
    """Whether one of ``truths`` is part of the answer; formulas are compared without spaces, texts without case."""
    plain = _formula if category == FORMULAS else _text
    given = plain(answer)
    return any(plain(truth) in given for truth in truths)


def _formula(text: str) -> str:
    return text.strip().replace("\n", " ").replace(" ", "")


def _text(text: str) -> str:
    return text.lower().strip().replace("\n", " ")


def score_containment(question: Question, answer: str) -> Score:
    """`contains_answer` for the question's accepted texts."""
    right = contains_answer(answer, accepted_answers(question.answer), question.category)
    return Score(float(right), (_formula if question.category == FORMULAS else _text)(answer))
