"""Parameters of decoding demonstrations."""

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
