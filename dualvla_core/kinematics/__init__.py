"""Velocity, acceleration, jerk and gripper transitions: the action layer of the pruning rule."""

from dualvla_core.kinematics.config import KinematicsConfig
from dualvla_core.kinematics.stage import compute_kinematics

__all__ = ["KinematicsConfig", "compute_kinematics"]
