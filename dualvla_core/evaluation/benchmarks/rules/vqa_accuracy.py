"""VQA accuracy (Antol et al. 2015): how many of the other annotators gave the same answer, after normalisation.

The normalisation is that of the public evaluation code, oddities included: they are part of the published numbers.
"""

from __future__ import annotations

import re

from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.score import Score, accepted_answers

_ENOUGH = 3  # annotators who agree
_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"(?<!\d)\.(?!\d)")
_MOST_FULL_STOPS = 32  # the public code passes a flag where the number of replacements belongs; later ones stay
_ARTICLES = frozenset({"a", "an", "the"})
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS)} | {"none": "0"}

_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_ONE_APOSTROPHE_LESS = {
    word[:place] + word[place + 1 :]: word
    for word in _CONTRACTIONS.split()
    for place, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the one entry of the public table that goes the other way


def normalise(text: str) -> str:
    """The text annotators are compared by: no punctuation, case or articles, digits for words, whole contractions."""
    plain = _without_punctuation(text.replace("\n", " ").replace("\t", " ").strip())
    words = [_NUMBERS.get(word, word) for word in plain.lower().split()]
    return " ".join(_ONE_APOSTROPHE_LESS.get(word, word) for word in words if word not in _ARTICLES)


def _without_punctuation(text: str) -> str:
    """A mark beside a space vanishes, one within a word parts it; with a comma inside a number every mark vanishes."""
    all_vanish = _COMMA_IN_NUMBER.search(text) is not None
    plain = text
    for mark in _PUNCTUATION:
        vanishes = all_vanish or f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if vanishes else " ")
    return _FULL_STOP.sub("", plain, count=_MOST_FULL_STOPS)


def vqa_accuracy(answer: str, annotators: tuple[str, ...]) -> float:
    """The mean over annotators of min(1, agreeing others / 3)."""
    given = normalise(answer)
    agree = [normalise(each) == given for each in annotators]
    total = sum(agree)
    return sum(min(1.0, (total - own) / _ENOUGH) for own in agree) / len(agree)


def score_vqa(question: Question, answer: str) -> Score:
    """`vqa_accuracy` against the question's annotators."""
    return Score(vqa_accuracy(answer, accepted_answers(question.answer)), normalise(answer))
