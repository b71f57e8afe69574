"""Exact match after a light normalisation: the rule of this project's own question sets."""

from __future__ import annotations

import re
import string

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.score import Score

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans(string.punctuation, " " * len(string.punctuation))
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS)}


def normalise_answer(text: str) -> str:
    """What two answers must share to count as the same.

    Case, punctuation and spaces do not matter, articles neither (unless there is nothing else: option "A"), and digits
    may be spelt out.
    """
    plain = text.lower().translate(_PUNCTUATION)
    words = _ARTICLES.sub(" ", plain).split() or plain.split()
    return " ".join(_NUMBERS.get(word, word) for word in words)


def score_exact(question: Question, answer: str) -> Score:
    """1 where the normalised texts are the same."""
    found = normalise_answer(answer)
    return Score(float(found == normalise_answer(question.answer)), found or None, None if found else "says nothing")
