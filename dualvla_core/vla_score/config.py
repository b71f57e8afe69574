"""What the VLA Score can be told."""

from __future__ import annotations

from typing import Any, Literal

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
    turn_window: int = Field(default=6, ge=1, description="Steps before and after that tell a turn (steps)")
    half_reversals: float = Field(
        default=3, gt=0, description="Reversals of the hand, or superfluous ones of the fingers, that halve the mark"
    )
    all_idle: float = Field(default=0.25, ge=0, lt=1, description="Share of active steps that counts as none at all")
    still: float = Field(default=0.006, gt=0, description="Shorter displacements in that window count as still (m)")
    fingers: float = Field(default=0.12, gt=0, description="Full opening or closing motion in that window (0..1)")


class BootstrapConfig(Params):
    """How intervals are drawn."""

    samples: int = Field(default=2000, ge=100, description="Bootstrap samples")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="Share of the samples an interval holds")
    seed: int = Field(default=0, ge=0, description="Seed of the resampling")


class ProbeConfig(Params):
    """What a judge is held to when defects are planted."""

    least_fall: float = Field(
        default=1.0, gt=0, le=10, description="At the worst severity the right dimension falls by this much (points)"
    )
    most_elsewhere: float = Field(
        default=1.0, ge=0, le=10, description="Mean change of any other dimension, at most (points)"
    )
    slack: float = Field(default=0.3, ge=0, description="By how much a milder case may fall further (points)")


class FramesConfig(Params):
    """The images a vision-language judge is shown."""

    count: int = Field(default=12, ge=2, le=16, description="Images, evenly spread, first and last included")
    size: int = Field(default=384, ge=64, le=1024, description="Longer side of an image; smaller ones stay (px)")
    jpeg_quality: int = Field(default=85, ge=1, le=100, description="JPEG quality of the images")


class VlmJudgeConfig(Params):
    """A vision-language model as the judge; where it is reached is no part of this."""

    model: str = Field(default="", description="Name at the endpoint; for local-vlm a folder or hub id")
    temperature: float = Field(default=0.0, ge=0, le=2, description="Sampling temperature")
    repeats: int = Field(default=1, ge=1, le=9, description="Verdicts asked for per trajectory; the median counts")
    attempts: int = Field(default=3, ge=1, description="Times that an unusable answer is asked for again, in all")
    max_tokens: int = Field(default=1024, ge=64, description="Longest answer (tokens)")
    frames: FramesConfig = Field(default=FramesConfig(), description="The images it is shown")


class KnowledgeConfig(Params):
    """Judged examples that a vision-language judge is shown first."""

    base: str | None = Field(default=None, description="Artifact of the knowledge base, STAGE/KEY; none = no examples")
    k_task: int = Field(default=1, ge=0, description="Examples of the most similar task text")
    k_scene: int = Field(default=1, ge=0, description="Examples of the most similar images")
    text_encoder: str = Field(default="tfidf", description="tfidf, or clip:FOLDER_OR_HUB_ID")
    image_encoder: str = Field(
        default="colour-hog", description="colour-hog, efficientnet-lite0, or clip:FOLDER_OR_HUB_ID"
    )


class ScoreConfig(Params):
    """How trajectories are judged."""

    judge: Literal["rules", "vlm", "local-vlm", "recorded"] = Field(default="rules", description="Which judge")
    rules: RuleJudgeConfig = Field(default=RuleJudgeConfig(), description="The rule judge's scales")
    vlm: VlmJudgeConfig = Field(default=VlmJudgeConfig(), description="The vision-language judge, vlm or local-vlm")
    knowledge: KnowledgeConfig = Field(default=KnowledgeConfig(), description="Examples for the vision-language judge")
    recorded: str | None = Field(default=None, description="Path of a verdicts.parquet that `recorded` replays")
    min_coverage: float = Field(
        default=0.95, ge=0, le=1, description="Share of trajectories with a verdict below which there is no score"
    )
    agreement: str | None = Field(
        default=None, description="Artifact of an agreement with human scores, STAGE/KEY; none = not validated here"
    )
    min_agreement: float = Field(
        default=0.6, ge=-1, le=1, description="Quadratic weighted kappa that every dimension must reach"
    )
    bootstrap: BootstrapConfig = Field(default=BootstrapConfig(), description="Intervals")

    def keyed(self) -> dict[str, Any]:
        """The values that change a result: those of judges that do not judge are left out."""
        unused = {"rules": {"vlm", "knowledge", "recorded"}, "recorded": {"rules", "vlm", "knowledge"}}
        return self.model_dump(mode="json", exclude=unused.get(self.judge, {"rules", "recorded"}))
