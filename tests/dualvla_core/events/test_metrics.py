from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualvla_core.events.metrics import GEBDAnnotation, gebd_agreement, match_boundaries, total_agreement


def test_each_annotated_boundary_takes_the_nearest_free_detection() -> None:
    assert match_boundaries([12, 30, 31], [10, 32, 50], tolerance=2) == (2, 1, 1)


def test_the_tolerance_is_inclusive() -> None:
    assert match_boundaries([12], [10], tolerance=2) == (1, 0, 0)
    assert match_boundaries([13], [10], tolerance=2) == (0, 1, 1)


def test_greedy_matching_may_miss_the_optimum() -> None:
    # 20 takes 24 (distance 4) before 16 is looked at; 24 is then left with 16, too far away
    assert match_boundaries([24, 15], [20, 24], tolerance=4) == (1, 1, 1)


def test_precision_recall_and_f1_by_hand() -> None:
    total = total_agreement([match_boundaries([1, 5, 9], [1, 5], 0), match_boundaries([], [3, 7], 0)])
    assert total == (2, 1, 2)
    assert (total.precision, total.recall, total.f1) == (2 / 3, 1 / 2, 4 / 7)


def test_nothing_anywhere_scores_zero() -> None:
    assert total_agreement([]).f1 == match_boundaries([], [], 1).f1 == 0


def test_the_rater_a_video_agrees_with_best_counts() -> None:
    truth = {"v": GEBDAnnotation(10.0, [[1.0, 5.0, 9.0], [5.0]], 0.8)}
    assert gebd_agreement({"v": [5.2]}, truth, 0.05) == (1, 0, 0)
    assert gebd_agreement({"v": [5.2]}, truth, 0.01) == (0, 1, 3)  # both raters score 0: the first counts


def test_a_video_without_detections_misses_the_first_raters_boundaries() -> None:
    truth = {"v": GEBDAnnotation(10.0, [[1.0, 5.0], [5.0]], 0.8)}
    assert gebd_agreement({}, truth, 0.05) == (0, 0, 2)


def test_videos_whose_raters_disagree_are_left_out() -> None:
    truth = {"v": GEBDAnnotation(10.0, [[1.0]], 0.29), "w": GEBDAnnotation(10.0, [[1.0]], 0.3)}
    assert gebd_agreement({"v": [1.0], "w": [1.0]}, truth, 0.05) == (1, 0, 0)


def test_parity_with_the_gebd_benchmark(shared_data: Path) -> None:
    cases = json.loads((shared_data / "scorer_parity" / "gebd_f1.json").read_text())["cases"]
    assert cases
    for case in cases:
        truth = {
            name: GEBDAnnotation(each["video_duration"], each["substages_timestamps"], each["f1_consis_avg"])
            for name, each in case["gt"].items()
        }
        for relative_distance, expected in case["result"].items():
            total = gebd_agreement(case["pred"], truth, float(relative_distance))
            found = {"f1": total.f1, "precision": total.precision, "recall": total.recall}
            assert found == pytest.approx(expected), case
