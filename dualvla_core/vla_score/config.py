"""What the VLA Score can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dualvla_core.params import Params


class RuleJudgeConfig(Params):
    """The scales of the offline rule judge, set on scripted experts and random motion at 80 Hz."""

    half_jerk: float = Field(
        default=0.1, gt=0, description="Jerk per path length at which smoothness is one half (third differences / m)"
    )
    direct_path: float = Field(
        default=0.4, gt=0, le=1, description="Farthest distance per path length that counts as fully direct (ratio)"
    )
    idle_distance: float = Field(default=0.0005, gt=0, description="Shorter steps of the hand count as idle (m)")
    idle_opening: float = Field(default=0.005, gt=0, description="Smaller changes of the gripper count as idle (0..1)")
    heading_window: int = Field(default=16, ge=1, description="Steps before and after that tell the heading (steps)")
    reach: float = Field(default=0.1, gt=0, description="Distance from the start that counts as going somewhere (m)")
    motion_window: int = Field(default=8, ge=1, description="Steps in which a stated motion must show (steps)")
    still: float = Field(default=0.006, gt=0, description="Shorter displacements in that window count as still (m)")
    fingers: float = Field(default=0.12, gt=0, description="Full opening or closing motion in that window (0..1)")


class BootstrapConfig(Params):
    """How intervals are drawn."""

    samples: int = Field(default=2000, ge=100, description="Bootstrap samples")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Share of the samples an interval holds")
    seed: int = Field(default=0, ge=0, description="Seed of the resampling")


class ScoreConfig(Params):
    """How trajectories are judged."""

    judge: Literal["rule"] = Field(default="rule", description="Which judge")
    rule: RuleJudgeConfig = Field(default=RuleJudgeConfig(), description="The rule judge's scales")
