"""MM-Vet: a language model says how right an answer is, from 0 to 1."""

from __future__ import annotations

import math
import re
from typing import Protocol

from dualvla_core.errors import UserError
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.score import Score

CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")
"""What MM-Vet's questions ask for; a category names one or several of them."""

RUBRIC = """\
You grade answers that a model gave to questions about an image. You do not see the image: rely on the reference.
Where the reference joins parts with <AND>, the answer is fully right only if it covers every one of them; where it
joins parts with <OR>, any one of them is enough. Wording does not matter, meaning does.
Reply with one number and nothing else: 0.0 for an answer that is wrong, 1.0 for one that is fully right, and a multiple
of 0.1 between them for one that is partly right.

Question: How many legs does it have, and which colour is it?
Reference: four <AND> brown
Answer: It is brown.
Grade: 0.5

Question: What is shown?
Reference: a sofa <OR> a couch
Answer: You can see a couch by the window.
Grade: 1.0

Question: {question}
Reference: {truth}
Answer: {answer}
Grade: """
"""The default instructions to the judge; ``{question}``, ``{truth}`` and ``{answer}`` are filled in."""

_PLACES = re.compile(r"\{(question|truth|answer)\}")
_ATTEMPTS = 5
_WARMER = 0.5  # added to the temperature with each attempt


class JudgeError(UserError):
    """A judge that did not answer."""


class Judge(Protocol):
    """A language model that completes a prompt."""

    def complete(self, prompt: str, temperature: float) -> str:
        """What it answers. Raises `JudgeError` where it gives none."""


def judge_prompt(rubric: str, question: Question, answer: str) -> str:
    """The rubric with question, reference and answer; the joints of the reference stand between spaces."""
    truth = question.answer.replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    filled = {"question": question.text, "truth": truth, "answer": answer}
    return _PLACES.sub(lambda place: filled[place[1]], rubric)


def read_grade(reply: str) -> float | None:
    """The reply as a number in [0, 1]; None for anything else, "nan" included."""
    try:
        grade = float(reply)
    except ValueError:
        return None
    return grade if math.isfinite(grade) and 0 <= grade <= 1 else None


def score_judged(question: Question, answer: str, judge: Judge, rubric: str = RUBRIC) -> Score:
    """The first readable grade of five attempts, each warmer than the last; *missing* where there is none."""
    prompt = judge_prompt(rubric, question, answer)
    failures = []
    for attempt in range(_ATTEMPTS):
        try:
            reply = judge.complete(prompt, attempt * _WARMER)
        except JudgeError as error:
            failures.append(str(error))
            continue
        grade = read_grade(reply)
        if grade is not None:
            return Score(grade, reply.strip())
        failures.append(f"{reply!r} is no grade from 0 to 1")
    return Score(None, None, f"the judge failed {_ATTEMPTS} times: {'; '.join(dict.fromkeys(failures))}")
