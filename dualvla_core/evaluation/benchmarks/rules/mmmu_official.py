"""MMMU by the rules of its own authors, but for their random guess where no option can be told.

VLMEvalKit (and so the paper) scores MMMU by `multiple_choice.score_mmmu` instead; the two differ on open questions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.multiple_choice import UNCLEAR_CHOICE
from dualvla_core.evaluation.benchmarks.rules.score import Score, accepted_answers

_CONCLUSIONS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")
_SHORT_ANSWER = 5  # words; only longer answers are searched for the text of an option
_BARE = frozenset(":,.!?;'")
_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),  # with thousands separators
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),  # scientific
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),  # plain
)


def normalise_open(text: str) -> list[str | float]:
    """A number rounded to two decimals, else the lower-cased text; a single letter must stand beside a space."""
    plain = text.strip()
    number = _number(plain)
    if number is not None:
        return [number]
    plain = plain.lower()
    return [f" {plain}", f"{plain} "] if len(plain) == 1 else [plain]


def _number(text: str) -> float | None:
    try:
        return round(float(text.replace(",", "")), 2)
    except ValueError:
        return None


def conclusions(answer: str) -> list[str]:
    """What each line concludes with: its shortest ending after a word that announces a result."""
    plain = answer.strip().strip(".").lower()
    lines = plain.split("\n")
    found = []
    for position, line in enumerate(lines):
        announce = (*_CONCLUSIONS, "=") if position == len(lines) - 1 else _CONCLUSIONS
        endings = [line.rsplit(word, 1)[1].strip() for word in announce if word in line]
        shortest = _first_shortest(endings)
        if shortest and shortest not in _BARE:
            found.append(shortest)
    return found or [plain]


def _first_shortest(endings: Sequence[str]) -> str:
    """The shortest ending; an empty one counts for nothing unless it comes last, as in the public code."""
    shortest = ""
    for ending in endings:
        if not shortest or len(ending) < len(shortest):
            shortest = ending
    return shortest


def parse_open(answer: str) -> list[str | float]:
    """Everything an open answer may mean: its conclusions and the numbers in them, normalised."""
    parts = conclusions(answer)
    parts += [number for part in parts for pattern in _NUMBERS for number in pattern.findall(part)]
    return list(dict.fromkeys(each for part in parts for each in normalise_open(part)))


def open_is_right(answer: str, truths: Sequence[str]) -> bool:
    """Whether a text of the answer contains a true text, or a number of it is a true number."""
    wanted = [each for truth in truths for each in normalise_open(truth)]
    texts = [each for each in wanted if isinstance(each, str)]
    return any(
        any(text in each for text in texts) if isinstance(each, str) else each in wanted for each in parse_open(answer)
    )


def parse_choice(answer: str, options: Mapping[str, str]) -> str | None:
    """The option mentioned last: as "(A)", else as a word "A", else (in longer answers) by its text."""
    plain = answer
    for mark in ",.!?;:'":
        plain = plain.strip(mark)
    plain = f" {plain} "
    for form in ("({})", " {} "):
        places = {letter: plain.rfind(form.format(letter)) for letter in options}
        if max(places.values(), default=-1) >= 0:
            return max(places, key=lambda letter: places[letter])
    if len(plain.split()) <= _SHORT_ANSWER:
        return None
    places = {letter: plain.lower().rfind(text.lower()) for letter, text in options.items()}
    return max(places, key=lambda letter: places[letter]) if max(places.values(), default=-1) >= 0 else None


def score_mmmu_official(question: Question, answer: str) -> Score:
    """1 where the option is the right one, or the open answer holds the truth."""
    if question.options:
        letter = parse_choice(answer, question.options)
        if letter is None:
            return Score(0.0, None, UNCLEAR_CHOICE)
        return Score(float(letter in accepted_answers(question.answer)), letter)
    right = open_is_right(answer, accepted_answers(question.answer))
    return Score(float(right), " | ".join(str(each) for each in parse_open(answer)))
