from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.events.calibration import calibrate, read_calibration
from dualvla_core.events.config import CalibrationConfig, EventsConfig
from dualvla_core.events.labels import LabelledEpisode

LENGTH = 100


def _scores(peaks: dict[int, float]) -> np.ndarray:
    scores = np.zeros(LENGTH, np.float32)
    for frame, height in peaks.items():
        scores[frame] = height
    return scores


def test_the_threshold_separates_right_from_wrong_peaks() -> None:
    episodes = [LabelledEpisode("e", "e", "t", LENGTH, 10.0, (20, 60))]
    found = calibrate(
        CalibrationConfig(tolerance_frames=2),
        EventsConfig(detector="novelty"),
        episodes,
        {"e": _scores({21: 0.8, 60: 0.7, 40: 0.4, 90: 0.3})},
    )
    assert 0.4 < found.threshold <= 0.7
    assert (found.f1, found.precision, found.recall) == (1, 1, 1)
    assert found.episodes == 1
    assert found.boundaries(_scores({21: 0.8, 60: 0.7, 40: 0.4}), 10.0).tolist() == [21, 60]


def test_the_scope_keeps_boundaries_apart_only_as_far_as_it_helps() -> None:
    # each true peak has a lower echo 4 frames later: a scope of 4 frames or more removes it, no threshold can
    peaks = {20: 0.9, 24: 0.85, 60: 0.6, 64: 0.5}
    found = calibrate(
        CalibrationConfig(tolerance_frames=1),
        EventsConfig(detector="novelty"),
        [LabelledEpisode("e", "e", "t", LENGTH, 10.0, (20, 60))],
        {"e": _scores(peaks)},
    )
    assert found.f1 == 1
    assert 4 <= found.peak_scope.frames(LENGTH, 10.0) <= 5


def test_the_tolerance_makes_the_scene_labels_fit() -> None:
    # detections are exact, and frames within 5 of a boundary are wanted
    found = calibrate(
        CalibrationConfig(tolerance_frames=5),
        EventsConfig(detector="ddm_net"),
        [LabelledEpisode("e", "e", "t", LENGTH, 100.0, (30, 70))],
        {"e": _scores({30: 0.9, 70: 0.9})},
    )
    assert found.scene_tolerance.frames(LENGTH, 100.0) == 5
    assert found.scene_f1 == 1


def test_an_episode_without_boundary_asks_for_silence() -> None:
    episodes = [
        LabelledEpisode("e", "e", "t", LENGTH, 10.0, (20,)),
        LabelledEpisode("still", "still", "t", LENGTH, 10.0, ()),
    ]
    found = calibrate(
        CalibrationConfig(),
        EventsConfig(detector="novelty"),
        episodes,
        {"e": _scores({20: 0.7}), "still": _scores({50: 0.6})},
    )
    assert 0.6 < found.threshold <= 0.7


def test_a_calibration_comes_back_as_it_was_written(tmp_path: Path) -> None:
    episodes = [LabelledEpisode("e", "e", "t", LENGTH, 10.0, (20,))]
    found = calibrate(CalibrationConfig(), EventsConfig(detector="optical_flow"), episodes, {"e": _scores({20: 0.7})})
    (tmp_path / "calibration.json").write_text(found.model_dump_json())
    assert read_calibration(tmp_path) == found


def test_a_missing_or_broken_calibration_is_told(tmp_path: Path) -> None:
    for content in (None, "{}"):
        if content is not None:
            (tmp_path / "calibration.json").write_text(content)
        with pytest.raises(ArtifactError, match=r"no readable calibration.json"):
            read_calibration(tmp_path)
