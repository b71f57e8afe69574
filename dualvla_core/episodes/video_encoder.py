"""Encodes the images of several episodes, one after another, into one MP4 file per camera."""

from __future__ import annotations

import io
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av

from dualvla_core.episodes.video import Image

_REPEATABLE = "threads=1:mbtree=0"
"""Told to x264 itself. With its macroblock tree, some processes gave other bytes for the same images in up to a quarter
of the encodings (measured; none of 1400 without it), and an episode is identified by its packets."""


class VideoEncoder:
    """H.264 in yuv420p without B-frames; the same images give the same bytes.

    Every episode has an encoder of its own: one encoder looks ahead, and would let an episode's bytes depend on the
    episodes that follow it in the file.

    Args:
        path: file to write.
        size: height and width of the images (px), both even.
        fps: images per second; image ``i`` is shown from ``i / fps`` on.
        crf: constant rate factor (0 to 51).
        gop: longest distance between key-frames (images).
    """

    def __init__(self, path: Path, size: tuple[int, int], fps: int, crf: int, gop: int) -> None:
        self._container = av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"})
        self._stream: av.VideoStream | None = None
        self._size, self._fps, self._crf, self._gop = size, fps, crf, gop
        self._written = 0

    def write_episode(self, images: Iterable[Image]) -> None:
        """Append the images ``[H, W, 3]`` of an episode, the first as a key-frame, so that it can be cut out again."""
        with av.open(io.BytesIO(self._encode(images)), "r") as clip:
            source = clip.streams.video[0]
            if self._stream is None:
                self._stream = self._container.add_stream_from_template(source)
            shift = self._written
            for packet in clip.demux(source):
                if packet.pts is None or packet.dts is None or packet.time_base is None:
                    continue  # the demuxer's end mark
                start = round(shift / (self._fps * packet.time_base))
                packet.pts += start
                packet.dts += start
                packet.stream = self._stream
                self._container.mux(packet)
                self._written += 1

    def _encode(self, images: Iterable[Image]) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            options = {"crf": str(self._crf), "bf": "0", "x264-params": _REPEATABLE}
            stream = container.add_stream("libx264", rate=self._fps, options=options)
            stream.height, stream.width = self._size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = self._gop
            stream.codec_context.time_base = Fraction(1, self._fps)
            for index, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                frame.pts = index
                frame.time_base = stream.codec_context.time_base
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return buffer.getvalue()

    def close(self) -> None:
        """Finish the file."""
        self._container.close()
