from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dualvla_core.events.peaks import boundary_distances, pick_peaks, scene_labels


def _scores(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_a_peak_beats_everything_within_its_scope() -> None:
    scores = _scores(0.1, 0.9, 0.2, 0.7, 0.3, 0.3, 0.8)
    assert pick_peaks(scores, 0.5, scope=1).tolist() == [1, 3, 6]
    assert pick_peaks(scores, 0.5, scope=2).tolist() == [1, 6]
    assert pick_peaks(scores, 0.5, scope=9).tolist() == [1]


def test_the_threshold_is_the_least_score_of_a_boundary() -> None:
    scores = _scores(0, 0.5, 0, 0.25, 0)
    assert pick_peaks(scores, 0.5, scope=1).tolist() == [1]
    assert pick_peaks(scores, 0.25, scope=1).tolist() == [1, 3]


def test_equal_maxima_kill_each_other() -> None:
    assert pick_peaks(_scores(0, 0.9, 0.1, 0.9, 0), 0.5, scope=2).tolist() == []
    assert pick_peaks(_scores(0, 0.9, 0.1, 0.9, 0), 0.5, scope=1).tolist() == [1, 3]
    assert pick_peaks(_scores(0.6, 0.6, 0.6), 0.5, scope=1).tolist() == []


def test_ignored_ends_still_compete() -> None:
    scores = _scores(0.9, 0.8, 0.1, 0.7, 0.1, 0.95)
    assert pick_peaks(scores, 0.5, scope=1, ignore_first=1, ignore_last=1).tolist() == [3]
    assert pick_peaks(scores, 0.5, scope=2, ignore_first=1, ignore_last=1).tolist() == []


def test_no_frames_no_peaks() -> None:
    assert pick_peaks(_scores(), 0.5, scope=3).tolist() == []
    assert pick_peaks(_scores(0.9), 0.5, scope=3).tolist() == [0]


def test_parity_with_the_postprocessing_of_ddm_net(shared_data: Path) -> None:
    path = shared_data / "scorer_parity" / "ddm_postprocess.json"
    cases = json.loads(path.read_text())["cases"]
    assert cases
    for case in cases:
        peaks = pick_peaks(
            _scores(*case["scores"]),
            case["threshold"],
            case["scope"],
            ignore_first=case["begin_ignore"],
            ignore_last=case["end_ignore"],
        )
        assert [case["frame_idx"][index] for index in peaks] == case["boundaries"]


def test_distances_to_the_nearest_boundary() -> None:
    assert boundary_distances(8, np.array([2, 5])).tolist() == [2, 1, 0, 1, 1, 0, 1, 2]
    assert boundary_distances(3, np.array([0])).tolist() == [0, 1, 2]


def test_without_boundary_every_frame_is_further_away_than_any_frame_can_be() -> None:
    assert boundary_distances(3, np.array([], np.int64)).tolist() == [3, 3, 3]


@pytest.mark.parametrize(
    ("tolerance", "expected"), [(0, [0, 0, 1, 0, 0, 0, 1]), (1, [0, 1, 1, 1, 0, 1, 1]), (2, [1, 1, 1, 1, 1, 1, 1])]
)
def test_scene_labels_reach_as_far_as_the_tolerance(tolerance: int, expected: list[int]) -> None:
    assert scene_labels(7, np.array([2, 6]), tolerance).astype(int).tolist() == expected


def test_no_boundary_no_scene_label_however_large_the_tolerance() -> None:
    assert not scene_labels(4, np.array([], np.int64), tolerance=100).any()
