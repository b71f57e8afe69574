from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from dualvla_core.events.arm import ArmMotion
from dualvla_core.events.arm_references import arm_boundaries
from dualvla_core.events.config import CalibrationConfig, EventsTrainingConfig, MotionNetConfig, TemporalNetConfig
from dualvla_core.events.labels import LabelledEpisode, part_of


def test_both_references_find_where_an_arm_starts() -> None:
    calibration = CalibrationConfig(calibration_fraction=0.3, test_fraction=0.3)
    settings = EventsTrainingConfig(calibration=calibration)
    episodes, motions = [], {}
    for number in range(30):
        name, start = f"e{number}", 8 + number % 9
        places = np.maximum(0, np.arange(30) - start)[:, None] / 10
        episodes.append(LabelledEpisode(name, name, "t", 30, 10.0, (start,)))
        motions[name] = ArmMotion(places, np.arange(30) / 10, hands=0)
    tests = [each for each in episodes if part_of(calibration, each.initial_condition) == "test"]
    known = [each for each in episodes if each not in tests]
    small = MotionNetConfig(boundaries=TemporalNetConfig(width=8, dilations=(1, 2), steps=60, learning_rate=0.02))
    found = arm_boundaries(small, settings, motions, known, tests)
    assert set(found) == {"arm_peaks", "arm_learned"}
    for boundaries in found.values():
        assert set(boundaries) == {each.episode for each in tests}
        right = [
            len(boundaries[e.episode]) == 1 and abs(boundaries[e.episode][0] - e.boundaries[0]) <= 3 for e in tests
        ]
        assert sum(right) >= 0.8 * len(tests)
