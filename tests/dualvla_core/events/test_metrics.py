from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualvla_core.events.metrics import match_boundaries, total_agreement


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


def test_parity_with_the_gebd_benchmark(shared_data: Path) -> None:
    cases = json.loads((shared_data / "scorer_parity" / "gebd_f1.json").read_text())["cases"]
    compared = 0
    for case in cases:
        videos = {name: truth for name, truth in case["gt"].items() if truth["f1_consis_avg"] >= 0.3}
        if not videos or any(len(truth["substages_timestamps"]) != 1 for truth in videos.values()):
            continue  # the benchmark's choice among several raters is not ours
        for relative_distance, expected in case["result"].items():
            total = total_agreement(
                match_boundaries(
                    case["pred"].get(name, []),
                    truth["substages_timestamps"][0],
                    float(relative_distance) * truth["video_duration"],
                )
                for name, truth in videos.items()
            )
            found = {"f1": total.f1, "precision": total.precision, "recall": total.recall}
            assert found == pytest.approx(expected), case
            compared += 1
    assert compared
