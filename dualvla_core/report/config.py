"""How much of the curated data the report shows as pictures."""

from __future__ import annotations

from pydantic import Field

from dualvla_core.params import Params


class ReportParams(Params):
    """Sizes of the report's samples; the numbers are always computed over every episode."""

    film_strips: int = Field(8, ge=0, le=40, description="Episodes drawn as film strips over their signals (count).")
    surprising: int = Field(10, ge=0, le=40, description="Episodes that stand out, drawn as film strips too (count).")
    strip_cameras: int = Field(2, ge=1, le=4, description="Cameras shown per film strip, first listed first (count).")
    strip_frames: int = Field(12, ge=1, le=24, description="Thumbnails per film strip (count).")
    thumbnail_height: int = Field(144, ge=32, le=320, description="Largest height of a thumbnail (pixels).")
    jpeg_quality: int = Field(72, ge=30, le=95, description="JPEG quality of the thumbnails (1 to 100).")
    multimodal_examples: int = Field(8, ge=0, le=40, description="Questions shown from the multimodal set (count).")
    rollout_tasks: int = Field(6, ge=0, le=50, description="Tasks whose rollouts are shown as videos (count).")
    video_fps: int = Field(5, ge=1, le=30, description="Recorded moments a video shows per second (Hz).")
    video_crf: int = Field(23, ge=0, le=51, description="Constant rate factor of the videos (0 to 51).")
