"""How well detected boundaries agree with annotated ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


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
