"""Whether the reasoning is well-formed, true, in order and about something that goes on.

How often something is said has no part in it: the method prunes reasoning to key-frames.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.rules.measure import Measure, clip
from dualvla_core.vla_score.rules.statements import DONE, SubTask, sub_tasks

_SHORTEST, _LONGEST = 2, 120  # words of a text
_VARIETY = 0.3  # share of different words below which a text turns in circles
_REPEATS = 3  # times that three words on end may come in a text
_OVERLAP = 0.2  # shared words at which consecutive texts count as one line of thought
_UNDECODABLE = "�"
_CHANGES = 2  # new texts that show that the reasoning follows the episode; fewer texts need not change
_LATE = 0.9  # share of the steps after which a solved episode may be called done


def reasoning_measures(trajectory: Trajectory) -> list[Measure]:
    """Form, truth and order; with two or more texts their coherence, with three or more their change."""
    texts = [said.text for said in trajectory.reasoning]
    if not texts:
        return []
    words = [_words(text) for text in texts]
    stated = sub_tasks(trajectory.reasoning)
    measures = [_form(texts, words), *_truth(stated, trajectory), *_order(stated)]
    return [*measures, *_change(words), *_coherence(words)]


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def _form(texts: Sequence[str], words: Sequence[Sequence[str]]) -> Measure:
    good = sum(_well_formed(text, found) for text, found in zip(texts, words, strict=True))
    return Measure("form", good / len(texts), 0.2, f"{good} of {len(texts)} texts well-formed")


def _well_formed(text: str, words: Sequence[str]) -> bool:
    """Sentences of a sensible length that end, and do not turn in circles."""
    if not _SHORTEST <= len(words) <= _LONGEST or not text.rstrip().endswith((".", "!", "?")):
        return False
    triples = Counter(zip(words, words[1:], words[2:], strict=False))
    circling = len(set(words)) < _VARIETY * len(words) or any(count > _REPEATS for count in triples.values())
    readable = " ".join(text.split()).isprintable() and _UNDECODABLE not in text
    return readable and not circling


def _truth(stated: Sequence[SubTask], trajectory: Trajectory) -> list[Measure]:
    """Stated places against the simulator's, and claims of completion against the outcome."""
    values = [value for each in stated for value in _claims(each, trajectory)]
    if not values:
        return []
    true = float(np.mean(values))
    return [Measure("truth", true, 0.3, f"{sum(values)} of {len(values)} checked claims hold when they are made")]


def _claims(stated: SubTask, trajectory: Trajectory) -> list[bool]:
    if stated.stage == DONE:
        return [trajectory.success and stated.step >= _LATE * trajectory.steps]
    objects = trajectory.objects
    if stated.thing is None or stated.thing not in objects or "gripper" not in objects:
        return []
    offset = objects[stated.thing][stated.step] - objects["gripper"][stated.step]
    return [bool(direction @ offset > 0) for direction in stated.where]


def _order(stated: Sequence[SubTask]) -> list[Measure]:
    """Approach, align, contact, act, done: sub-tasks follow one another and do not go back."""
    pairs = list(pairwise(each.stage for each in stated))
    if not pairs:
        return []
    kept = sum(later >= earlier for earlier, later in pairs)
    return [Measure("order", kept / len(pairs), 0.3, f"{kept} of {len(pairs)} changes of sub-task go forward")]


def _change(words: Sequence[Sequence[str]]) -> list[Measure]:
    """New texts among those said; two alike moments apart may simply both be true."""
    if len(words) <= _CHANGES:
        return []
    different = len({tuple(found) for found in words})
    return [Measure("change", clip((different - 1) / _CHANGES), 0.1, f"{different} different of {len(words)} texts")]


def _coherence(words: Sequence[Sequence[str]]) -> list[Measure]:
    if len(words) < 2:
        return []
    sets = [frozenset(found) for found in words]
    overlaps = [len(one & other) / max(1, len(one | other)) for one, other in pairwise(sets)]
    overlap = sum(overlaps) / len(overlaps)
    return [
        Measure("coherence", clip(overlap / _OVERLAP), 0.1, f"consecutive texts share {overlap:.0%} of their words")
    ]
