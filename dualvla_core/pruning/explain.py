"""One frame's verdict, told to a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def explain_frame(decision: Mapping[str, Any]) -> str:
    """A paragraph on one row of the decision table (`schemas.DECISIONS`, as a mapping): verdict, labels and numbers."""
    return " ".join([_verdict(decision), _scene(decision), _action(decision), f"Rule: {decision['rule']}."])


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
    gripper = "the gripper changes state here" if decision["gripper_flip"] else "the gripper stays as it was"
    return f"{motion}, and {gripper}: action label {decision['action_label']:d}."
