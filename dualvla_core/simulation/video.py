"""Encodes the images of several episodes, one after another, into one MP4 file per camera."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
from av.video.frame import PictureType

from dualvla_core.simulation.environment import Image


class VideoEncoder:
    """H.264 in yuv420p without B-frames; the same images give the same bytes.

    Args:
        path: file to write.
        size: side of the square images (px), even.
        fps: images per second; image ``i`` is shown from ``i / fps`` on.
        crf: constant rate factor (0 to 51).
        gop: longest distance between key-frames (images).
    """

    def __init__(self, path: Path, size: int, fps: int, crf: int, gop: int) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"})
        # forced-idr makes a requested key-frame one that can be cut at; more threads would change the bytes
        options = {"crf": str(crf), "bf": "0", "forced-idr": "1", "threads": "1"}
        self._stream = self._container.add_stream("libx264", rate=fps, options=options)
        self._stream.width = self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.gop_size = gop
        self._stream.codec_context.time_base = Fraction(1, fps)
        self._written = 0

    def write_episode(self, images: Iterable[Image]) -> None:
        """Append the images ``[H, W, 3]`` of an episode, the first as a key-frame, so that it can be cut out again."""
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts = self._written
            frame.time_base = self._stream.codec_context.time_base
            frame.pict_type = PictureType.NONE if index else PictureType.I
            self._container.mux(self._stream.encode(frame))
            self._written += 1

    def close(self) -> None:
        """Finish the file."""
        self._container.mux(self._stream.encode())
        self._container.close()
