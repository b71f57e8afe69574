"""What an export can be told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dualvla_core.params import Params


class ExportConfig(Params):
    """The pruned dataset for other trainers."""

    format: Literal["lerobot", "keep_ranges"] = Field(
        "lerobot",
        description="lerobot: a LeRobot v3.0 dataset with language columns; keep_ranges: JSON beside the original.",
    )
    split: Literal["all", "train"] = Field("all", description="Episodes that are exported: all, or the training split.")
    video_crf: int = Field(18, ge=0, le=51, description="Constant rate factor of H.264; lower is better and larger.")
    video_gop: int = Field(2, ge=1, description="Longest distance between key-frames (frames); small seeks fast.")
