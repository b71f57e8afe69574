"""What the shard stages can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dualvla_core.params import Params


class ShardsConfig(Params):
    """Robot shards: every frame as decoded, with its raw action."""

    pruned_reasoning: Literal["removed", "context"] = Field(
        "removed",
        description="removed: a frame that lost its reasoning is trained to act at once; context: it still reads the "
        "reasoning, but no loss is taken on it.",
    )


class MultimodalConfig(Params):
    """Multimodal question answering shards."""

    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of images that are not JPEG files already.")


class StatisticsConfig(Params):
    """Normalisation statistics of actions and states."""

    normalise_grippers: bool = Field(
        False, description="Whether the mask asks for gripper dimensions to be normalised too; DualVLA's base does not."
    )
