"""Which frames of one trajectory keep their reasoning: the dual rule and the baselines of DualVLA Table 7.

Every rule is a function of the same evidence and returns the frames ``[T]`` it keeps, so an ablation swaps a name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dualvla_core.pruning.config import Rule


class Evidence(NamedTuple):
    """What a rule may look at: one trajectory of ``T`` frames."""

    episode: str
    scene: NDArray[np.bool_]
    """``[T]``: scene labels."""
    action: NDArray[np.bool_]
    """``[T]``: action labels."""
    keep_first_frame: bool
    seed: int


def dual(evidence: Evidence) -> NDArray[np.bool_]:
    """Frames with both labels, and the first frame where that is asked for."""
    return _with_first_frame(evidence.scene & evidence.action, evidence)


def scene_only(evidence: Evidence) -> NDArray[np.bool_]:
    """Frames with the scene label, whatever the arm does (Table 7, without action label)."""
    return _with_first_frame(evidence.scene, evidence)


def action_only(evidence: Evidence) -> NDArray[np.bool_]:
    """Frames with the action label, whatever the scene does (Table 7, without scene label)."""
    return _with_first_frame(evidence.action, evidence)


def unpruned(evidence: Evidence) -> NDArray[np.bool_]:
    """Every frame."""
    return np.ones(len(evidence.scene), np.bool_)


def random(evidence: Evidence) -> NDArray[np.bool_]:
    """As many frames as `dual` keeps, drawn without replacement; the first one is certain if `dual` was told to keep
    it.

    The draw depends on the seed and the episode's identity only, not on which other episodes are at hand.
    """
    kept, certain = dual(evidence), np.zeros(len(evidence.scene), np.bool_)
    certain[0] = evidence.keep_first_frame
    identity = int.from_bytes(hashlib.sha256(evidence.episode.encode()).digest()[:8], "big")
    free = np.flatnonzero(~certain)
    drawn = np.random.default_rng([evidence.seed, identity]).permutation(free)[: kept.sum() - certain.sum()]
    certain[drawn] = True
    return certain


def uniform(evidence: Evidence) -> NDArray[np.bool_]:
    """As many frames as `dual` keeps, evenly spaced, beginning with the first frame."""
    length, count = len(evidence.scene), int(dual(evidence).sum())
    kept = np.zeros(length, np.bool_)
    kept[np.arange(count) * length // max(count, 1)] = True
    return kept


RULES: dict[Rule, Callable[[Evidence], NDArray[np.bool_]]] = {
    "dual": dual,
    "scene_only": scene_only,
    "action_only": action_only,
    "none": unpruned,
    "random": random,
    "uniform": uniform,
}

DRAWN: frozenset[Rule] = frozenset({"random", "uniform"})
"""Rules that keep a number of frames, whichever they are."""


def _with_first_frame(kept: NDArray[np.bool_], evidence: Evidence) -> NDArray[np.bool_]:
    kept = kept.copy()
    kept[0] |= evidence.keep_first_frame
    return kept
