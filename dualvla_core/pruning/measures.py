"""What pruning did to the text, what every rule would have kept, and which episodes stand out.

Pure functions of the decision table and the reasoning it was decided on; the report shows what they return.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.pruning.baselines import RULES, Evidence
from dualvla_core.pruning.config import Rule

_TOKEN = re.compile(r"\w+|[^\w\s]")
_SMALLEST_GROUP = 4  # episodes; the median of fewer says little
_NORMAL = 0.6745  # median absolute deviation of a standard normal distribution
_NORMAL_MEAN = 0.7979  # mean absolute deviation of one
_USUAL = 0.1  # of the median; a few episodes may agree by chance, so their spread is never taken to be less


class TextMeasure(NamedTuple):
    """Reasoning text of some frames."""

    frames: int
    """Frames with reasoning."""
    tokens: int
    """Words and punctuation marks. A policy's own tokenizer may cut words further, about alike before and after."""
    texts: int
    """Different texts."""
    bits_per_token: float
    """Entropy of the distribution of tokens: how varied the words are."""
    bits_per_frame: float
    """Entropy of the distribution of texts: how little of a frame's text one could guess from the others."""


class TextChange(NamedTuple):
    """The text before pruning and after it."""

    before: TextMeasure
    after: TextMeasure


class Surprise(NamedTuple):
    """Why an episode stands out among those it is compared with."""

    episode: str
    quantity: str
    value: float
    median: float
    """Of the episodes it is compared with."""
    deviation: float
    """Robust z-score: distance from the median in units that would be standard deviations of a normal distribution."""


def text_change(reasoning: pa.Array, keep: NDArray[np.bool_]) -> TextChange:
    """Measures of ``reasoning`` (`schemas.REASONING`, ``[N]``), all of it and that on the frames kept ``[N]``."""
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    for pieces, kept in zip(reasoning.to_pylist(), keep.tolist(), strict=True):
        if pieces:
            text = "\n".join(f"{piece['style']}: {piece['content']}" for piece in pieces)
            before[text] += 1
            after[text] += kept
    return TextChange(_measure(before), _measure(+after))


def retention_by_rule(decisions: pa.Table, *, keep_first_frame: bool = False, seed: int = 0) -> dict[Rule, float]:
    """The share of frames each rule keeps, given the labels of a decision table (`schemas.DECISIONS`).

    Only frames with reasoning count, unless there are none at all. Raises ValueError for an empty table.
    """
    if not len(decisions):
        raise ValueError("retention needs at least one frame")
    scene, action, said = (decisions[name].to_numpy() for name in ("scene_label", "action_label", "has_reasoning"))
    considered = said if said.any() else np.ones(len(said), np.bool_)
    first = np.flatnonzero(decisions["frame_index"].to_numpy() == 0)
    kept = dict.fromkeys(RULES, 0)
    for start, stop in zip(first, [*first[1:], len(said)], strict=True):
        rows = slice(start, stop)
        evidence = Evidence(decisions["episode"][int(start)].as_py(), scene[rows], action[rows], keep_first_frame, seed)
        for rule, decide in RULES.items():
            kept[rule] += int((decide(evidence) & considered[rows]).sum())
    return {rule: count / int(considered.sum()) for rule, count in kept.items()}


def surprising_episodes(
    quantities: Mapping[str, Sequence[float]], episodes: Sequence[str], groups: Sequence[str], most: int = 10
) -> list[Surprise]:
    """The ``most`` surprising of ``episodes``, each once, by the quantity in which it deviates most.

    Each of the ``quantities`` (retention ratio, boundaries per second; one number per episode) is compared with its
    median over the episode's group (its task), or over all episodes where the group is small. The deviation is the
    modified z-score of Iglewicz and Hoaglin, by the mean absolute deviation where the median one is 0, and by a tenth
    of the median where the spread is less. Episodes that deviate in nothing are left out; ties keep their order.
    """
    found: dict[str, Surprise] = {}
    names = np.asarray(groups)
    for quantity, numbers in quantities.items():
        values = np.asarray(numbers, np.float64)
        for index, episode in enumerate(episodes):
            peers = values[names == names[index]]
            peers = peers if len(peers) >= _SMALLEST_GROUP else values
            median = float(np.median(peers))
            surprise = Surprise(episode, quantity, float(values[index]), median, _deviation(values[index], peers))
            if abs(surprise.deviation) > abs(found[episode].deviation if episode in found else 0.0):
                found[episode] = surprise
    return sorted(found.values(), key=lambda surprise: -abs(surprise.deviation))[:most]


def _measure(texts: Counter[str]) -> TextMeasure:
    tokens: Counter[str] = Counter()
    for text, frames in texts.items():
        for token in _TOKEN.findall(text):
            tokens[token] += frames
    return TextMeasure(texts.total(), tokens.total(), len(texts), _entropy(tokens), _entropy(texts))


def _entropy(counts: Counter[str]) -> float:
    """Shannon entropy in bits; 0 of nothing."""
    shares = np.array(list(counts.values()), np.float64) / max(1, counts.total())
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no negative zero


def _deviation(value: float, peers: NDArray[np.float64]) -> float:
    median = np.median(peers)
    distances = np.abs(peers - median)
    spread = float(np.median(distances)) / _NORMAL or float(distances.mean()) / _NORMAL_MEAN
    spread = max(spread, _USUAL * abs(float(median)))
    return float(value - median) / spread if spread > 0 else 0.0
