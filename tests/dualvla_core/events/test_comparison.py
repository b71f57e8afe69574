from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.events.calibration import Calibration, calibrate
from dualvla_core.events.comparison import compare, detections, margins, told_phase_times
from dualvla_core.events.config import CalibrationConfig, EventsConfig
from dualvla_core.events.labels import LabelledEpisode


def _episodes(count: int) -> list[LabelledEpisode]:
    return [LabelledEpisode(f"e{number}", f"e{number}", "t", 100, 10.0, (20, 60)) for number in range(count)]


def test_f1_and_its_interval() -> None:
    episodes = _episodes(40)
    half = {each.episode: [20, 60] if number % 2 else [] for number, each in enumerate(episodes)}
    rows = compare("held-out episodes", episodes, {"half": half})
    assert [row.tolerance for row in rows] == [1, 3]
    assert rows[0].agreement == (40, 0, 40)
    assert rows[0].low < 2 / 3 < rows[0].high
    assert 0.1 < rows[0].high - rows[0].low < 0.5
    assert rows[0].as_json()["f1"] == pytest.approx(2 / 3)


def test_the_tolerance_counts() -> None:
    near = {each.episode: [22, 62] for each in _episodes(5)}
    by_tolerance = {row.tolerance: row.agreement.f1 for row in compare("held-out tasks", _episodes(5), {"near": near})}
    assert by_tolerance == {1: 0, 3: 1}


def test_margins_are_paired() -> None:
    # the detector misses the same half the baseline misses, and one boundary less in each of the others
    episodes = _episodes(30)
    found = {
        "detector": {each.episode: [20, 60] if number % 2 else [] for number, each in enumerate(episodes)},
        "uniform": {each.episode: [20] if number % 2 else [] for number, each in enumerate(episodes)},
    }
    row = next(row for row in margins("held-out episodes", episodes, found, ["detector"]) if row.tolerance == 3)
    assert row.value == pytest.approx(2 / 3 - 2 / 5)
    assert 0 < row.low < row.value < row.high
    assert (row.detector, row.other) == ("detector", "uniform")


def test_baselines_see_no_frame_and_the_prior_knows_the_task() -> None:
    known = [
        LabelledEpisode("k1", "k1", "a", 100, 10.0, (20,)),
        LabelledEpisode("k2", "k2", "b", 100, 10.0, (40,)),
    ]
    asked = [LabelledEpisode("x", "x", "a", 50, 10.0, ()), LabelledEpisode("y", "y", "new", 50, 10.0, ())]
    scores = {"e": np.zeros(100, np.float32)}
    scores["e"][20] = 1
    calibration: Calibration = calibrate(
        CalibrationConfig(),
        EventsConfig(detector="novelty"),
        [LabelledEpisode("e", "e", "a", 100, 10.0, (20,))],
        scores,
    )
    peak = np.zeros(50, np.float32)
    peak[33] = 1
    found = detections({"novelty": calibration}, {"novelty": {"x": peak, "y": peak}}, known, asked)
    assert found["phase_times"] == {"x": [10], "y": [15]}  # of its own task; of an unknown one, over all
    assert found["uniform"]["x"] == [25]
    assert len(found["random"]["x"]) == 1
    assert found["novelty"] == {"x": [33], "y": [33]}


def test_where_several_tasks_are_new_they_are_what_is_resampled() -> None:
    """Five tasks of eight episodes each; the detector is right in all episodes of two of them and in no other."""
    episodes = [
        LabelledEpisode(f"{task}{number}", "", task, 100, 10.0, (50,)) for task in "abcde" for number in range(8)
    ]
    found = {"some": {each.episode: [50] if each.task in "ab" else [] for each in episodes}}
    tasks = compare("held-out tasks", episodes, found)[0]
    alike = compare("held-out episodes", episodes, found)[0]
    assert tasks.agreement == alike.agreement == (16, 0, 24)
    assert tasks.agreement.f1 == pytest.approx(4 / 7)
    assert tasks.low == 0  # none of the two tasks is drawn in (3/5)^5 = 8 % of the samples
    assert tasks.high > 0.88  # 4 of 5 or more are: 9 %, F1 8/9
    assert alike.high - alike.low < 0.35
    few = [each for each in episodes if each.task in "abc"]
    again = {
        row.group: (row.low, row.high)
        for row in (compare(g, few, found)[0] for g in ("held-out tasks", "held-out episodes"))
    }
    assert again["held-out tasks"] == again["held-out episodes"]


def test_the_prior_that_is_told_a_task_is_not_told_the_episode_itself() -> None:
    episodes = [
        LabelledEpisode("x", "x", "a", 100, 10.0, (10,)),
        LabelledEpisode("y", "y", "a", 100, 10.0, (20,)),
        LabelledEpisode("z", "z", "a", 200, 10.0, (60,)),
        LabelledEpisode("alone", "alone", "b", 100, 10.0, (90,)),
    ]
    known = [LabelledEpisode("k", "k", "c", 100, 10.0, (70,))]
    assert told_phase_times(episodes, known) == {"x": [25], "y": [20], "z": [30], "alone": [70]}
