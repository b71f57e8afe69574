"""Chooses a detector's threshold, peak scope and scene tolerance on labelled episodes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from dualvla_core.errors import ArtifactError
from dualvla_core.events.config import CalibrationConfig, DetectorName, EventsConfig, Span
from dualvla_core.events.labels import LabelledEpisode
from dualvla_core.events.metrics import BoundaryAgreement, match_boundaries, total_agreement
from dualvla_core.events.peaks import boundary_distances, pick_peaks, scene_labels
from dualvla_core.params import Params

CALIBRATION_FILE = "calibration.json"
_THRESHOLDS = np.arange(4, 97, 2) / 100
_FRACTIONS = (0.0125, 0.025, 0.0375, 0.05, 0.0625, 0.08, 0.1)
_SCOPES = tuple(Span(seconds=0.5, fraction=fraction) for fraction in _FRACTIONS)
_TOLERANCES = tuple(Span(seconds=0.3, fraction=fraction) for fraction in _FRACTIONS)


class Calibration(Params):
    """What makes boundaries and scene labels of a detector's scores, and how well on the calibration episodes."""

    detector: DetectorName = Field(description="Whose scores.")
    settings: dict[str, Any] = Field(description="Its settings; nothing for a trained one, whose folder holds them.")
    threshold: float = Field(ge=0, le=1, description="Least score of an event boundary.")
    peak_scope: Span = Field(description="A boundary outscores every frame within this time.")
    scene_tolerance: Span = Field(description="Frames within this time of a boundary get the scene label.")
    f1: float = Field(description="Of boundaries within the tolerance.")
    precision: float = Field(description="Of boundaries within the tolerance.")
    recall: float = Field(description="Of boundaries within the tolerance.")
    scene_f1: float = Field(description="Of frames with the scene label, against frames near a labelled boundary.")
    tolerance_frames: int = Field(description="The tolerance (frames).")
    episodes: int = Field(description="Episodes it was calibrated on.")

    def boundaries(self, scores: NDArray[np.float32], fps: float) -> NDArray[np.int64]:
        """The event boundaries in the scores ``[T]`` of a trajectory at ``fps`` Hz."""
        return pick_peaks(scores, self.threshold, self.peak_scope.frames(len(scores), fps))


class Picking(NamedTuple):
    """How boundaries are picked from scores, and how well that does on the episodes it was chosen on."""

    threshold: float
    peak_scope: Span
    agreement: BoundaryAgreement

    def boundaries(self, scores: NDArray[np.float32], fps: float) -> NDArray[np.int64]:
        """The event boundaries in the scores ``[T]`` of a trajectory at ``fps`` Hz."""
        return pick_peaks(scores, self.threshold, self.peak_scope.frames(len(scores), fps))


def choose_picking(
    params: CalibrationConfig, episodes: Sequence[LabelledEpisode], scores: Mapping[str, NDArray[np.float32]]
) -> Picking:
    """The threshold and scope of best F1 on ``episodes``, of each of which ``scores`` holds the scores ``[T]``.

    Where several settings are equally good, the middle one in the order of (scope, threshold) is taken: it is the least
    likely to lie at an edge.
    """
    tried = []
    for scope, threshold in itertools.product(_SCOPES, _THRESHOLDS.tolist()):
        agreement = total_agreement(
            match_boundaries(
                pick_peaks(scores[each.episode], threshold, scope.frames(each.length, each.fps)).tolist(),
                each.boundaries,
                params.tolerance_frames,
            )
            for each in episodes
        )
        tried.append(Picking(threshold, scope, agreement))
    best = max(each.agreement.f1 for each in tried)
    equals = [each for each in tried if each.agreement.f1 == best]
    return equals[len(equals) // 2]


def calibrate(
    params: CalibrationConfig,
    events: EventsConfig,
    episodes: Sequence[LabelledEpisode],
    scores: Mapping[str, NDArray[np.float32]],
) -> Calibration:
    """The threshold and scope of best F1 on ``episodes``, then the tolerance whose scene labels fit best.

    ``events`` names the detector, and ``scores`` holds the scores ``[T]`` of each episode.
    """
    picking = choose_picking(params, episodes, scores)
    picked = [picking.boundaries(scores[each.episode], each.fps) for each in episodes]
    fits = [_scene_f1(params, tolerance, episodes, picked) for tolerance in _TOLERANCES]
    return Calibration(
        detector=events.detector,
        settings=events.settings,
        threshold=picking.threshold,
        peak_scope=picking.peak_scope,
        scene_tolerance=_TOLERANCES[int(np.argmax(fits))],
        f1=picking.agreement.f1,
        precision=picking.agreement.precision,
        recall=picking.agreement.recall,
        scene_f1=max(fits),
        tolerance_frames=params.tolerance_frames,
        episodes=len(episodes),
    )


def read_calibration(folder: Path) -> Calibration:
    """The calibration in ``folder``. Raises `ArtifactError` when there is none."""
    try:
        return Calibration.model_validate_json((folder / CALIBRATION_FILE).read_text())
    except (OSError, ValidationError) as error:
        raise ArtifactError(
            f"There is no readable {CALIBRATION_FILE} in {folder}; make one with `dualvla events train`."
        ) from error


def _scene_f1(
    params: CalibrationConfig,
    tolerance: Span,
    episodes: Sequence[LabelledEpisode],
    picked: Sequence[NDArray[np.int64]],
) -> float:
    """F1 over frames: those within ``tolerance`` of detections against those near labelled boundaries."""
    hits = labelled = wanted = 0
    for each, boundaries in zip(episodes, picked, strict=True):
        found = scene_labels(each.length, boundaries, tolerance.frames(each.length, each.fps))
        truth = np.array(each.boundaries, np.int64)
        near = (boundary_distances(each.length, truth) <= params.tolerance_frames) & (len(truth) > 0)
        hits += int((found & near).sum())
        labelled += int(found.sum())
        wanted += int(near.sum())
    return 2 * hits / max(1, labelled + wanted)
