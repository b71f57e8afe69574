"""How well detected boundaries agree with annotated ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

LEAST_CONSISTENCY = 0.3
"""Videos whose raters agree less (mean pairwise F1) are left out of the GEBD benchmark."""


class BoundaryAgreement(NamedTuple):
    """Counts over one or more trajectories."""

    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of the detected boundaries that are annotated; 0 when nothing was detected."""
        return self.true_positives / max(1, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of the annotated boundaries that were detected; 0 when nothing was annotated."""
        return self.true_positives / max(1, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 when there is no true positive."""
        return 2 * self.true_positives / max(1, 2 * self.true_positives + self.false_positives + self.false_negatives)


def match_boundaries(detected: Sequence[float], annotated: Sequence[float], tolerance: float) -> BoundaryAgreement:
    """Match boundaries one to one, greedily, as the GEBD benchmark does; all arguments in one unit (frames or seconds).

    The annotated boundaries, in time order, each look at the nearest detection not taken yet and take it if it lies
    within ``tolerance``. The greedy matching can be worse than the optimal one; it is kept for comparability.
    """
    free = list(detected)
    for boundary in sorted(annotated):
        nearest = min(range(len(free)), key=lambda index: abs(free[index] - boundary), default=None)
        if nearest is not None and abs(free[nearest] - boundary) <= tolerance:
            del free[nearest]
    hits = len(detected) - len(free)
    return BoundaryAgreement(hits, len(free), len(annotated) - hits)


def total_agreement(parts: Iterable[BoundaryAgreement]) -> BoundaryAgreement:
    """The sum of counts, for micro-averaged precision, recall and F1 over trajectories."""
    sums = [sum(counts) for counts in zip(*parts, strict=True)] or [0, 0, 0]
    return BoundaryAgreement(*sums)


class GEBDAnnotation(NamedTuple):
    """One video of the GEBD benchmark; times in s."""

    duration: float
    raters: Sequence[Sequence[float]]
    consistency: float
    """Mean F1 of the raters against each other."""


def gebd_agreement(
    detected: Mapping[str, Sequence[float]], annotated: Mapping[str, GEBDAnnotation], relative_distance: float
) -> BoundaryAgreement:
    """What the GEBD challenge counts, over all videos of ``annotated``; micro-averaged F1 follows from it.

    A detection is right within ``relative_distance`` of the video's duration. Each video is compared with the rater it
    agrees with best by F1, the first of equals; videos whose raters do not agree with each other are left out.
    """
    parts = []
    for video, truth in annotated.items():
        if truth.consistency >= LEAST_CONSISTENCY:
            tolerance = relative_distance * truth.duration
            raters = [match_boundaries(detected.get(video, ()), rater, tolerance) for rater in truth.raters]
            parts.append(max(raters, key=lambda rater: rater.f1))
    return total_agreement(parts)
