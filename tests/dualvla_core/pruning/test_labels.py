from __future__ import annotations

import numpy as np
from numpy.testing import assert_array_equal

from dualvla_core.pruning.labels import ActionLabels, action_labels

NAN = np.nan


def _labels(
    acceleration: list[list[float]], flips: list[int] | None = None, lengths: tuple[int, ...] = ()
) -> ActionLabels:
    rows = len(acceleration)
    flip = np.array(flips or [0] * rows, np.bool_)
    return action_labels(np.array(acceleration, np.float64), flip, np.array(lengths or (rows,)))


def test_equation_4_by_hand() -> None:
    # mean of 1, 2, 6 (the ends are undefined and do not count) = 3
    labels = _labels([[NAN], [1], [2], [6], [NAN]])
    assert labels.label.tolist() == [False, False, False, True, False]
    assert_array_equal(labels.acceleration, [NAN, 1, 2, 6, NAN])
    assert_array_equal(labels.mean, [NAN, 3, 3, 3, NAN])


def test_the_mean_itself_is_not_above_the_mean() -> None:
    assert not _labels([[NAN], [2], [2], [2], [NAN]]).label.any()
    assert _labels([[NAN], [1], [2], [3], [NAN]]).label.tolist() == [False, False, False, True, False]


def test_a_gripper_flip_is_enough() -> None:
    labels = _labels([[NAN], [1], [2], [6], [NAN]], flips=[0, 1, 0, 0, 1])
    assert labels.label.tolist() == [False, True, False, True, True]


def test_each_trajectory_has_its_own_mean() -> None:
    labels = _labels([[NAN], [1], [3], [NAN], [NAN], [10], [30], [NAN]], lengths=(4, 4))
    assert labels.label.tolist() == [False, False, True, False, False, False, True, False]
    assert labels.mean[[1, 5]].tolist() == [2, 20]


def test_each_arm_is_held_against_its_own_mean_and_one_is_enough() -> None:
    # means: left 2, right 40; frame 1 only right is above, frame 2 only left, frame 3 neither
    labels = _labels([[NAN, NAN], [1, 80], [4, 20], [1, 20], [NAN, NAN]])
    assert labels.label.tolist() == [False, True, True, False, False]
    # the decisive arm has the larger ratio: 80/40 right, 4/2 left, 1/2 = 20/40 left first
    assert_array_equal(labels.acceleration, [NAN, 80, 4, 1, NAN])
    assert_array_equal(labels.mean, [NAN, 40, 2, 2, NAN])


def test_a_single_defined_frame_is_its_own_mean() -> None:
    labels = _labels([[NAN], [2], [NAN]])
    assert not labels.label.any()
    assert labels.mean[1] == 2


def test_the_decisive_arm_does_not_depend_on_the_unit() -> None:
    labels = _labels([[NAN, NAN], [0.01, 0.08], [0.04, 0.02], [0.01, 0.02], [NAN, NAN]])
    assert_array_equal(labels.acceleration, [NAN, 0.08, 0.04, 0.01, NAN])


def test_an_arm_that_never_moves_decides_nothing() -> None:
    labels = _labels([[NAN, NAN], [0, 1], [0, 3], [NAN, NAN]])
    assert labels.label.tolist() == [False, False, True, False]
    assert_array_equal(labels.acceleration, [NAN, 1, 3, NAN])


def test_without_acceleration_only_the_gripper_counts() -> None:
    labels = _labels([[NAN], [NAN], [NAN]], flips=[0, 1, 0], lengths=(2, 1))
    assert labels.label.tolist() == [False, True, False]
    assert np.isnan(labels.acceleration).all()
    assert np.isnan(labels.mean).all()


def test_an_arm_without_acceleration_leaves_the_decision_to_the_other() -> None:
    # the left arm is undefined at frame 1, where the right one has 10 against a mean of 25
    labels = _labels([[NAN, NAN], [NAN, 10], [2, 40], [NAN, NAN]])
    assert_array_equal(labels.acceleration, [NAN, 10, 40, NAN])
    assert_array_equal(labels.mean, [NAN, 25, 25, NAN])
