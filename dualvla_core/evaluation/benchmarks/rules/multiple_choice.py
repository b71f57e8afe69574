"""Which option an answer chooses, by the rules VLMEvalKit calls exact matching."""

from __future__ import annotations

import string
from collections.abc import Mapping

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.score import Score

NONE_OF_THEM = "Z"
"""The letter of an answer that declines to choose."""

UNCLEAR_CHOICE = "no option can be inferred"
"""The note of an answer that counts as wrong because it chooses nothing."""

OTHER_ANSWERS = "Other Answers"
_SEPARATORS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_LAST_WORDS = 4
_FAILED_REQUEST = "Failed to obtain answer via API"
_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
)


def infer_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The letter an answer chooses, `NONE_OF_THEM` for one that declines, or None where neither can be told."""
    return named_option(answer, options) or quoted_option(answer, options)


def named_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The only option letter that stands as a word of its own, provided it first does among the last four words."""
    if _FAILED_REQUEST in answer:
        return None
    if any(refusal in answer for refusal in _REFUSALS):
        return NONE_OF_THEM
    words = answer.translate(_SEPARATORS).split()
    named = [letter for letter in options if letter in words]
    if not named:
        return NONE_OF_THEM if NONE_OF_THEM in words else None
    if len(named) > 1 or words.index(named[0]) < len(words) - _LAST_WORDS:
        return None
    return named[0]


def quoted_option(answer: str, options: Mapping[str, str]) -> str | None:
    """The only option whose text the answer contains, provided it is at most twice as long as all of them together."""
    if len(answer.lower()) > 2 * sum(len(text) for text in options.values()):
        return None
    quoted = [letter for letter, text in options.items() if text.lower() in answer.lower()]
    return quoted[0] if len(quoted) == 1 else None


def score_choice(question: Question, answer: str) -> Score:
    """1 where the inferred option is the right one."""
    return _score(answer, question.options, question.answer)


def score_mmmu(question: Question, answer: str) -> Score:
    """As `score_choice`; an open question becomes a choice between its answer (A) and anything else (B)."""
    options = question.options
    if "A" not in options:
        options = {**options, "A": question.answer, "B": OTHER_ANSWERS}
        options = dict(sorted(options.items()))
    is_letter = len(question.answer) == 1 and question.answer in string.ascii_uppercase
    return _score(answer, options, question.answer if is_letter else "A")


def _score(answer: str, options: Mapping[str, str], right: str) -> Score:
    letter = infer_option(answer, options)
    if letter is None:
        return Score(0.0, None, UNCLEAR_CHOICE)
    return Score(float(letter == right), letter)
