"""Parameters of decoding and annotating demonstrations."""

from __future__ import annotations

from pydantic import Field

from dualvla_core.params import Params


class DecodeConfig(Params):
    """How frames are decoded and stored."""

    jpeg_quality: int = Field(default=95, ge=1, le=100, description="JPEG quality of stored frames, 1 to 100")
    image_size: int | None = Field(
        default=None,
        ge=16,
        description="Longest side of stored frames, pixels; larger frames are shrunk to it; none = as recorded",
    )
    cameras: tuple[str, ...] | None = Field(
        default=None, min_length=1, description="Names of the cameras to decode, in this order; none = all"
    )


class AnnotateConfig(Params):
    """How embodied reasoning is added to demonstrations."""

    motions: bool = Field(
        default=False,
        description="Whether demonstrations without any reasoning get move primitives derived from their motion",
    )
    window_s: float = Field(default=0.5, gt=0, description="How far ahead a move primitive looks, s")
    shortest_s: float = Field(default=0.1, ge=0, description="How long a new move primitive must hold to be said, s")
    still_m: float = Field(default=0.02, gt=0, description="Movement within the window that is worth a word, m")
    still_rad: float = Field(default=0.2, gt=0, description="Tilt or turn within the window that is worth a word, rad")
    fingers: float = Field(default=0.15, gt=0, le=1, description="Change of opening within the window worth a word")
    share: float = Field(
        default=0.5, gt=0, le=1, description="Share of the largest component a direction needs to be named"
    )
    first_frame: int = Field(
        default=0,
        ge=0,
        description="Raw frame that the first entry of an annotation's lists is about; 1 where the first was dropped",
    )
