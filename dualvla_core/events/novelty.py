"""Event boundaries as novelty on a self-similarity matrix of image features: no training (Foote, ICME 2000).

Moments before a boundary resemble each other, moments after it do too, but the two groups differ: on the matrix of all
similarities that is a checkerboard, and its contrast is the novelty. What is compared is how the features change from
frame to frame. Compared themselves, features are newest where the picture changes fastest, which is in the middle of a
motion and not where one ends and the next begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from dualvla_core.events.backbones import Backbone
from dualvla_core.events.config import NoveltyConfig
from dualvla_core.events.optical_flow import sample_frames


class NoveltyDetector:
    """Scores how much a frame separates what came before from what comes after."""

    def __init__(self, params: NoveltyConfig) -> None:
        self.params = params
        self.backbone = Backbone(params.backbone)

    def score(
        self, views: Sequence[Sequence[NDArray[np.uint8]]], timestamps: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Scores ``[T]`` in [0, 1]; see `BoundaryDetector.score`.

        A novelty as large as the trajectory's mean scores 0.5. Only sampled frames are looked at; the frames between
        two samples get interpolated scores. The ends score 0, as does everything of fewer than three frames.
        """
        if len(timestamps) < 3:
            return np.zeros(len(timestamps), np.float32)
        window = self.params.window.within(float(timestamps[-1] - timestamps[0]))
        samples = sample_frames(timestamps, window / self.params.samples_per_window)
        clock = timestamps[samples]
        levels = self.backbone.describe_views(views, samples.tolist())
        vectors = [self._compared(level) for level in levels]
        similarity = torch.stack([cosine(each) for each in vectors]).mean(0).numpy()
        half = max(1, round(window / float(np.median(np.diff(clock)))))
        novelty = np.zeros(len(samples))
        novelty[: len(similarity)] = checkerboard_novelty(similarity.astype(np.float64), half)
        scale = max(float(novelty.mean()), self.params.noise_floor)
        return np.interp(timestamps, clock, novelty / (novelty + scale)).astype(np.float32)

    def _compared(self, features: torch.Tensor) -> torch.Tensor:
        """What of the features ``[T, C]`` is compared: the changes from frame to frame ``[T - 1, C]``, or themselves.

        Themselves, they are taken without the trajectory's mean: everything that never changes (the table, the walls)
        would make all frames alike.
        """
        if self.params.compares == "changes":
            return features[1:] - features[:-1]
        return features - features.mean(0)


def cosine(vectors: torch.Tensor) -> torch.Tensor:
    """Cosine similarities ``[N, N]`` of ``[N, C]``; 0 with a vector of no length."""
    unit = functional.normalize(vectors, dim=1)
    return unit @ unit.T


def checkerboard_novelty(similarity: NDArray[np.float64], half: int) -> NDArray[np.float64]:
    """Novelty ``[T]`` in [0, 1] of each frame: mean similarity within each side minus the mean across, not below 0.

    A frame is compared over the ``half`` frames before it and the ``half`` from it on, weighted by a Gaussian that
    falls to exp(-2) at the far end (Foote's tapered kernel); near the ends the sides are what there is of them.
    """
    length = len(similarity)
    novelty = np.zeros(length)
    for frame in range(1, length):
        start, stop = max(0, frame - half), min(length, frame + half)
        place = np.arange(start, stop) - (frame - 0.5)
        taper = np.exp(-2 * (place / half) ** 2)
        weights = np.outer(taper, taper)
        same = np.equal.outer(place > 0, place > 0)
        block = similarity[start:stop, start:stop]
        within, across = (np.average(block[side], weights=weights[side]) for side in (same, ~same))
        novelty[frame] = max(0.0, float(within - across) / 2)
    return novelty
