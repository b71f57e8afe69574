from __future__ import annotations

from typing import Any

import pytest

from dualvla_core.pruning import explain_frame
from dualvla_core.pruning.decide import DROPPED_BY_CHANCE, DROPPED_EVENLY

KEPT: dict[str, Any] = {
    "episode": "0123456789abcdef",
    "frame_index": 37,
    "keep": True,
    "rule": "kept: event boundary and acceleration",
    "scene_label": True,
    "action_label": True,
    "boundary_score": 0.71,
    "boundary_threshold": 0.5,
    "boundary_distance": 2,
    "acceleration": 0.012,
    "acceleration_mean": 0.008,
    "kept_up_to": 0.7126,
    "gripper_flip": False,
    "gripper_before": [True],
    "gripper_after": [True],
    "has_reasoning": True,
    "reasoning_words": 12,
}


def test_a_kept_frame() -> None:
    assert explain_frame(KEPT) == (
        "Frame 37 of episode 0123456789ab keeps its reasoning of 12 words. Its boundary score is 0.71 and the nearest "
        "event boundary (threshold 0.50) is 2 frames away: scene label 1. Its acceleration is 0.012 per s² against "
        "a mean of 0.008, 1.50 times the mean, and the gripper stays as it was: action label 1. Rule: kept: event "
        "boundary and acceleration. It is kept at boundary thresholds up to 0.712."
    )


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"keep": False, "reasoning_words": 1}, "loses its reasoning of 1 word."),
        ({"keep": False, "has_reasoning": False}, "has no reasoning to drop. Its"),
        ({"has_reasoning": False}, "has no reasoning to keep. Its"),
        (
            {"boundary_distance": None, "scene_label": False},
            "no frame of the trajectory is an event boundary at the threshold 0.50: scene label 0.",
        ),
        ({"boundary_distance": 0}, "and it is an event boundary (threshold 0.50): scene label 1."),
        ({"boundary_distance": 1}, "is 1 frame away: scene"),
        (
            {"acceleration": None, "acceleration_mean": None},
            "Its acceleration is undefined, as it is at both ends of a trajectory, and the gripper",
        ),
        ({"acceleration": 0.0, "acceleration_mean": 0.0}, "against a mean of 0, and the gripper"),
        ({"gripper_flip": True, "gripper_after": [False]}, "the gripper closes here: action"),
        ({"gripper_flip": True, "gripper_before": [False]}, "the gripper opens here: action"),
        (
            {"gripper_flip": True, "gripper_before": [True, False, True], "gripper_after": [False, False, False]},
            "gripper 0 closes and gripper 2 closes here: action",
        ),
        ({"gripper_flip": True}, "the gripper is about to change state: action"),
        ({"gripper_flip": True, "gripper_before": None}, "the gripper is about to change state: action"),
        ({"action_label": False}, "action label 0."),
    ],
)
def test_every_case_has_its_words(changes: dict[str, Any], phrase: str) -> None:
    assert phrase in explain_frame(KEPT | changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"keep": False}, "It would be kept at boundary thresholds up to 0.712."),
        ({"keep": False, "kept_up_to": None}, "No boundary threshold would keep it."),
        ({"kept_up_to": 1.0}, "It is kept at every boundary threshold."),
        ({"kept_up_to": None}, "That was a draw, which no threshold decides."),
        (
            {"keep": False, "kept_up_to": None, "rule": DROPPED_BY_CHANCE},
            "That was a draw, which no threshold decides.",
        ),
        ({"keep": False, "kept_up_to": None, "rule": DROPPED_EVENLY}, "That was a draw, which no threshold decides."),
    ],
)
def test_what_another_threshold_would_change_comes_last(changes: dict[str, Any], sentence: str) -> None:
    assert explain_frame(KEPT | changes).endswith(f". {sentence}")
