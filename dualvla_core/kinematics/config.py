"""What the kinematics stage can be told."""

from __future__ import annotations

from pydantic import Field

from dualvla_core.params import Params


class KinematicsConfig(Params):
    """Velocity, acceleration, jerk and gripper transitions: the action layer of the pruning rule."""

    standardise: bool = Field(
        False,
        description="Divide each dimension's acceleration by its root mean square over the trajectory, so that radians "
        "do not drown metres. Off is DualVLA Eq. 4 as printed.",
    )
    gripper_threshold: float = Field(0.5, gt=0, lt=1, description="A gripper is open above this (0 closed, 1 open).")
    gripper_hysteresis: float = Field(
        0.0,
        ge=0,
        lt=0.5,
        description="Half-width of the band around the threshold in which the gripper state stays put.",
    )
    flip_both_sides: bool = Field(
        False, description="Count the last frame before a gripper transition as one too, not only the first after it."
    )
