"""What the pruning rule can be told."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from dualvla_core.events.config import Span
from dualvla_core.params import Params

Rule: TypeAlias = Literal["dual", "scene_only", "action_only", "none", "random", "uniform"]
SceneLabel: TypeAlias = Literal["peaks", "score"]


class PruningConfig(Params):
    """Dual-layer pruning (DualVLA section 3.2.1) and the baselines it is compared with (Table 7)."""

    rule: Rule = Field(
        "dual",
        description="dual: scene and action label; scene_only, action_only: one of them; none: keep all reasoning; "
        "random, uniform: as many frames per trajectory as dual keeps, drawn at random or evenly spaced.",
    )
    boundary_threshold: float = Field(0.5, ge=0, le=1, description="Least score of an event boundary.")
    peak_scope: Span = Field(
        Span(seconds=0.5, fraction=0.08),
        description="A boundary outscores every frame within this time before and after it.",
    )
    scene_label: SceneLabel = Field(
        "peaks",
        description="peaks: frames near an event boundary, which is a peak of the score; score: frames whose own score "
        "reaches boundary_threshold.",
    )
    scene_tolerance: Span = Field(
        Span(seconds=0.3, fraction=0.04),
        description="Frames within this time of a boundary get the scene label (peaks only).",
    )
    keep_first_frame: bool = Field(
        False, description="Also keep the first frame's reasoning; the paper does not, a policy may want it."
    )
    seed: int = Field(0, ge=0, description="Seed of the random rule; other rules ignore it.")
