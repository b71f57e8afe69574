"""What the words alone tell about reasoning, and which motions they promise."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from dualvla_core.vla_score.measure import Measure, clip

_SHORTEST, _LONGEST = 2, 120  # words of a text
_VARIETY = 0.3  # share of different words below which a text turns in circles
_REPEATS = 3  # times that three words on end may come in a text
_OVERLAP = 0.2  # shared words at which consecutive texts count as one line of thought
_UNDECODABLE = "\ufffd"
_CHANGES = 2  # new texts that show that the reasoning follows the episode

_FUNCTION_WORDS = re.compile(
    r"an?|and|at|by|for|from|in|into|is|its?|of|off|on|out|over|stay|the|then|there|to|towards|until|with|your?"
    r"|left|right|back|forward|down|up"  # directions are in every text
)
_AXES = {"left": (0, -1), "right": (0, 1), "back": (1, -1), "forward": (1, 1), "down": (2, -1), "up": (2, 1)}
_MOVE = re.compile(
    rf"move (?P<first>{'|'.join(_AXES)})(?: and (?P<second>{'|'.join(_AXES)}))?"
    r"(?:, (?P<fingers>opening|closing) the gripper)?"
)
_GRIP = re.compile(r"(?P<fingers>open|close) the gripper")
_SENTENCE_ENDS = re.compile(r"[.;\n]")

Fingers: TypeAlias = Literal["open", "close"]
_FINGERS: dict[str, Fingers] = {"open": "open", "opening": "open", "close": "close", "closing": "close"}


@dataclass(frozen=True)
class StatedMotion:
    """A motion that a text announces, in the vocabulary of `simulation.narration`."""

    direction: npt.NDArray[np.float64]
    """Unit vector ``[3]`` in the robot's frame (right, forward, up); zero where the hand is to keep its place."""
    fingers: Fingers | None


def stated_motions(text: str) -> list[StatedMotion]:
    """The sentences of a text that are motions: "Move left and down, closing the gripper.", "Hold still.", ..."""
    found = []
    for part in _SENTENCE_ENDS.split(text.lower()):
        sentence = part.rpartition(":")[2].strip()  # without a label such as "motion:"
        move, grip = _MOVE.fullmatch(sentence), _GRIP.fullmatch(sentence)
        if move:
            found.append(StatedMotion(_direction(move["first"], move["second"]), _FINGERS.get(move["fingers"])))
        elif grip:
            found.append(StatedMotion(np.zeros(3), _FINGERS[grip["fingers"]]))
        elif sentence == "hold still":
            found.append(StatedMotion(np.zeros(3), None))
    return found


def _direction(*words: str | None) -> npt.NDArray[np.float64]:
    vector = np.zeros(3)
    for word in words:
        if word is not None:
            axis, sign = _AXES[word]
            vector[axis] = sign
    return vector / np.linalg.norm(vector)


def reasoning_measures(texts: Sequence[str], instruction: str) -> list[Measure]:
    """Form and subject of the texts, and with two or more their change and coherence; none without a text."""
    if not texts:
        return []
    words = [_words(text) for text in texts]
    return [_form(texts, words), _subject(words, instruction), *(_course(words) if len(texts) > 1 else [])]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def _form(texts: Sequence[str], words: Sequence[Sequence[str]]) -> Measure:
    good = sum(_well_formed(text, found) for text, found in zip(texts, words, strict=True))
    return Measure("form", good / len(texts), 0.4, f"{good} of {len(texts)} texts well-formed")


def _well_formed(text: str, words: Sequence[str]) -> bool:
    """Sentences of a sensible length that end, and do not turn in circles."""
    if not _SHORTEST <= len(words) <= _LONGEST or not text.rstrip().endswith((".", "!", "?")):
        return False
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    circling = len(set(words)) < _VARIETY * len(words) or any(count > _REPEATS for count in triples.values())
    readable = " ".join(text.split()).isprintable() and _UNDECODABLE not in text
    return readable and not circling


def _subject(words: Sequence[Sequence[str]], instruction: str) -> Measure:
    subject = {word for word in _words(instruction) if not _FUNCTION_WORDS.fullmatch(word)}
    about = sum(bool(subject.intersection(found)) for found in words)
    why = f"{about} of {len(words)} texts take up a word of the instruction"
    return Measure("subject", about / len(words), 0.2, why)


def _course(words: Sequence[Sequence[str]]) -> list[Measure]:
    sets = [frozenset(found) for found in words]
    different = len({tuple(found) for found in words})
    overlaps = [len(one & other) / max(1, len(one | other)) for one, other in pairwise(sets)]
    overlap = sum(overlaps) / len(overlaps)
    needed = min(_CHANGES, len(words) - 1)
    return [
        Measure("change", clip((different - 1) / needed), 0.2, f"{different} different of {len(words)} texts"),
        Measure("coherence", clip(overlap / _OVERLAP), 0.2, f"consecutive texts share {overlap:.0%} of their words"),
    ]
