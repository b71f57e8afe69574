"""One frame's verdict, told to a person."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dualvla_core.pruning.decide import DROPPED_BY_CHANCE, DROPPED_EVENLY
from dualvla_core.pruning.scene import ANY_THRESHOLD


def explain_frame(decision: Mapping[str, Any]) -> str:
    """A paragraph on one row of the decision table (`schemas.DECISIONS`, as a mapping): verdict, labels and numbers."""
    told = [_verdict(decision), _scene(decision), _action(decision), f"Rule: {decision['rule']}."]
    return " ".join([*told, _counterfactual(decision)])


def _verdict(decision: Mapping[str, Any]) -> str:
    frame = f"Frame {decision['frame_index']} of episode {decision['episode'][:12]}"
    if not decision["has_reasoning"]:
        return f"{frame} has no reasoning to {'keep' if decision['keep'] else 'drop'}."
    words = decision["reasoning_words"]
    return f"{frame} {'keeps' if decision['keep'] else 'loses'} its reasoning of {words} word{'s' * (words != 1)}."


def _scene(decision: Mapping[str, Any]) -> str:
    distance, threshold = decision["boundary_distance"], decision["boundary_threshold"]
    if distance is None:
        where = f"no frame of the trajectory is an event boundary at the threshold {threshold:.2f}"
    elif distance == 0:
        where = f"it is an event boundary (threshold {threshold:.2f})"
    else:
        where = (
            f"the nearest event boundary (threshold {threshold:.2f}) is {distance} frame{'s' * (distance != 1)} away"
        )
    return (
        f"Its boundary score is {decision['boundary_score']:.2f} and {where}: scene label {decision['scene_label']:d}."
    )


def _action(decision: Mapping[str, Any]) -> str:
    acceleration, mean = decision["acceleration"], decision["acceleration_mean"]
    if acceleration is None:
        motion = "Its acceleration is undefined, as it is at both ends of a trajectory"
    else:
        times = f", {acceleration / mean:.2f} times the mean" if mean > 0 else ""
        motion = f"Its acceleration is {acceleration:.3g} per s² against a mean of {mean:.3g}{times}"
    gripper = _gripper(decision) if decision["gripper_flip"] else "the gripper stays as it was"
    return f"{motion}, and {gripper}: action label {decision['action_label']:d}."


def _gripper(decision: Mapping[str, Any]) -> str:
    before, after = decision["gripper_before"], decision["gripper_after"]
    if before is None or before == after:  # the last frame of the old state, where both sides count
        return "the gripper is about to change state"
    changed = [number for number, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]
    verbs = ["opens" if after[number] else "closes" for number in changed]
    if len(after) == 1:
        return f"the gripper {verbs[0]} here"
    return " and ".join(f"gripper {number} {verb}" for number, verb in zip(changed, verbs, strict=True)) + " here"


def _counterfactual(decision: Mapping[str, Any]) -> str:
    """What another boundary threshold would change."""
    limit = decision["kept_up_to"]
    if limit is None:
        drawn = decision["keep"] or decision["rule"] in {DROPPED_BY_CHANCE, DROPPED_EVENLY}
        return "That was a draw, which no threshold decides." if drawn else "No boundary threshold would keep it."
    if limit >= ANY_THRESHOLD:
        return "It is kept at every boundary threshold."
    return f"It {'is' if decision['keep'] else 'would be'} kept at boundary thresholds up to {_floor(limit)}."


def _floor(value: float) -> str:
    """Three digits, rounded down: a threshold that is told must do what is told of it."""
    return f"{math.floor(value * 1000) / 1000:.3f}"
