"""From boundary scores to boundaries, and from boundaries to scene labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pick_peaks(
    scores: NDArray[np.float32], threshold: float, scope: int, *, ignore_first: int = 0, ignore_last: int = 0
) -> NDArray[np.int64]:
    """Indices of the event boundaries in ``scores`` ``[T]``, as DDM-Net's post-processing picks them.

    A boundary scores at least ``threshold`` and strictly more than every other frame within ``scope`` frames; two equal
    maxima within one scope kill each other. The first ``ignore_first`` and last ``ignore_last`` frames are never
    boundaries, but they still compete with their neighbours.
    """
    if len(scores) == 0:
        return np.zeros(0, np.int64)
    padded = np.pad(scores.astype(np.float64), scope, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * scope + 1)
    unrivalled = (around >= scores[:, None]).sum(axis=1) == 1
    allowed = np.arange(len(scores))
    inside = (allowed >= ignore_first) & (allowed < len(scores) - ignore_last)
    return np.flatnonzero(unrivalled & (scores >= threshold) & inside)


def boundary_distances(length: int, boundaries: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames from each of ``length`` to the nearest of the sorted ``boundaries``; ``length`` if there are none."""
    if len(boundaries) == 0:
        return np.full(length, length)
    frames = np.arange(length)
    right = np.searchsorted(boundaries, frames)
    after = np.abs(boundaries[right.clip(max=len(boundaries) - 1)] - frames)
    before = np.abs(frames - boundaries[(right - 1).clip(min=0)])
    return np.asarray(np.minimum(before, after))


def scene_labels(length: int, boundaries: NDArray[np.int64], tolerance: int) -> NDArray[np.bool_]:
    """Scene label of each frame: whether a boundary lies within ``tolerance`` frames.

    DDM-Net is trained with positives 0.15 s either side of a boundary, so a label of one frame would be narrower than
    what the score means.
    """
    return (boundary_distances(length, boundaries) <= tolerance) & (len(boundaries) > 0)
