from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dualvla_core.events.config import Span
from dualvla_core.pruning.baselines import Evidence
from dualvla_core.pruning.config import PruningConfig, Rule
from dualvla_core.pruning.scene import SceneLayer, kept_up_to

NAN = np.nan


def test_spans_become_frames_at_the_trajectorys_rate() -> None:
    params = PruningConfig(
        peak_scope=Span(seconds=0.5, fraction=1), scene_tolerance=Span(seconds=9, fraction=0.2), scene_label="score"
    )
    scores = np.zeros(20, np.float32)
    layer = SceneLayer.of(params, scores, 10.0)  # 2 s: a scope of 0.5 s and a tolerance of 0.4 s
    assert (layer.mode, layer.scope, layer.tolerance) == ("score", 5, 4)
    assert layer.scores is scores


def test_the_lowest_peak_is_one_as_well() -> None:
    scores = np.array([0, 0, 0, 0.0005, 0, 0, 0.5, 0], np.float32)
    layer = SceneLayer(scores, "peaks", 1, 1)
    assert_array_equal(layer.reach, np.array([NAN, NAN, 0.0005, 0.0005, 0.0005, 0.5, 0.5, 0.5], np.float32))
    assert layer.label(0.0005).tolist() == [False, False, True, True, True, True, True, True]
    assert layer.label(0.4).tolist() == [False] * 5 + [True] * 3
    assert layer.boundaries(0.4).tolist() == [6]


def test_the_higher_of_two_peaks_in_reach_counts() -> None:
    layer = SceneLayer(np.array([0, 0.3, 0, 0.6, 0], np.float32), "peaks", 1, 1)
    assert_array_equal(layer.reach, np.array([0.3, 0.3, 0.6, 0.6, 0.6], np.float32))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("dual", [1, 0.3, NAN]),  # the first frame is forced, the last has no action label
        ("action_only", [1, 1, NAN]),
        ("scene_only", [1, 0.3, 0.2]),
        ("none", [1, 1, 1]),
        ("uniform", [NAN, NAN, NAN]),
        ("random", [NAN, NAN, NAN]),
    ],
)
def test_what_another_threshold_would_keep(rule: Rule, expected: list[float]) -> None:
    evidence = Evidence("a", np.zeros(3, np.bool_), np.array([True, True, False]), True, 0)
    reach = np.array([0.1, 0.3, 0.2], np.float32)
    assert_array_equal(kept_up_to(rule, evidence, reach), np.array(expected, np.float32))
