"""The scene label of each frame as a function of the boundary threshold, and what another threshold would change."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dualvla_core.events.peaks import pick_peaks, scene_labels
from dualvla_core.pruning.baselines import DRAWN, RULES, Evidence
from dualvla_core.pruning.config import PruningConfig, Rule, SceneLabel

ANY_THRESHOLD = 1.0
"""The greatest threshold there is: what is kept up to here is kept whatever the boundaries are."""


class SceneLayer(NamedTuple):
    """One trajectory of ``T`` frames; spans are in frames."""

    scores: NDArray[np.float32]
    """``[T]`` in [0, 1]."""
    mode: SceneLabel
    scope: int
    tolerance: int

    @classmethod
    def of(cls, params: PruningConfig, scores: NDArray[np.float32], fps: float) -> Self:
        """The layer of a trajectory at ``fps`` Hz."""
        spans = (span.frames(len(scores), fps) for span in (params.peak_scope, params.scene_tolerance))
        return cls(scores, params.scene_label, *spans)

    def boundaries(self, threshold: float) -> NDArray[np.int64]:
        """The event boundaries: peaks of at least ``threshold``."""
        return pick_peaks(self.scores, threshold, self.scope)

    def label(self, threshold: float) -> NDArray[np.bool_]:
        """Scene label ``[T]``."""
        if self.mode == "score":
            return np.asarray(self.scores >= threshold)
        return scene_labels(len(self.scores), self.boundaries(threshold), self.tolerance)

    @property
    def reach(self) -> NDArray[np.float32]:
        """The greatest threshold at which each frame has the scene label ``[T]``; NaN where it never has.

        A peak is one at any threshold its score reaches, so this is the highest peak within the tolerance.
        """
        if self.mode == "score":
            return self.scores
        peaks = self.boundaries(0.0)
        heights = np.full(len(self.scores) + 2 * self.tolerance, -np.inf, np.float32)
        heights[peaks + self.tolerance] = self.scores[peaks]
        highest = np.lib.stride_tricks.sliding_window_view(heights, 2 * self.tolerance + 1).max(axis=1)
        return np.where(np.isfinite(highest), highest, np.float32(np.nan))


def kept_up_to(rule: Rule, evidence: Evidence, reach: NDArray[np.float32]) -> NDArray[np.float32]:
    """The greatest boundary threshold at which each frame keeps its reasoning ``[T]``; NaN where none does.

    No rule drops a frame for its scene label, so two counterfactuals settle it: what is kept without any scene label
    is kept at every threshold, and what is kept only with it follows ``reach``. A draw says nothing about a single
    frame: NaN throughout.
    """
    if rule in DRAWN:
        return np.full(len(reach), np.nan, np.float32)
    decide = RULES[rule]
    always = decide(evidence._replace(scene=np.zeros(len(reach), np.bool_)))
    possible = decide(evidence._replace(scene=np.ones(len(reach), np.bool_)))
    return np.where(always, np.float32(ANY_THRESHOLD), np.where(possible, reach, np.float32(np.nan)))
