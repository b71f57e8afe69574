"""Demultiplexing and decoding of one episode's part of a video file, with PyAV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from dualvla_core.errors import EpisodeError

Image = npt.NDArray[np.uint8]
"""``[H, W, 3]`` RGB."""


@dataclass(frozen=True)
class Clip:
    """The part of a video file that one camera of one episode occupies: all of it, or ``[start, stop)`` in seconds."""

    path: Path
    name: str  # what errors call it: the path inside the dataset
    start: float | None = None
    stop: float | None = None

    def holds(self, seconds: Fraction, slack: float) -> bool:
        """Whether a frame shown at ``seconds`` belongs to the clip; ``slack`` (s) absorbs rounding at both ends."""
        after_start = self.start is None or seconds >= self.start - slack
        return after_start and not self.is_over(seconds, slack)

    def is_over(self, seconds: Fraction, slack: float) -> bool:
        """Whether ``seconds`` lies behind the clip's end."""
        return self.stop is not None and seconds >= self.stop - slack


@contextmanager
def _opened(clip: Clip) -> Iterator[tuple[av.container.InputContainer, av.VideoStream, Fraction]]:
    """The container, its video stream and the stream's tick in seconds, at the clip's start."""
    try:
        with av.open(str(clip.path), metadata_errors="replace") as container:
            if not container.streams.video:
                raise EpisodeError(f"The video {clip.name} has no video stream.", about="video")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise EpisodeError(f"The video {clip.name} is in a codec that FFmpeg does not know.", about="video")
            tick = stream.time_base or Fraction(1, av.time_base)
            stream.codec_context.thread_count = 1  # one thread per process is the fastest per core
            if clip.start is not None:
                _seek(container, stream, Fraction(clip.start) / tick)
            yield container, stream, tick
    except FileNotFoundError:
        raise EpisodeError(f"The video {clip.name} is missing.", about="video") from None
    except av.FFmpegError as error:
        reason = type(error).__name__
        raise EpisodeError(
            f"The video {clip.name} is broken or cut short ({reason}); fetch it again.", about="video"
        ) from error


def _seek(container: av.container.InputContainer, stream: av.VideoStream, start: Fraction) -> None:
    """Go to the key frame shown at ``start`` (ticks), or the last one before it.

    MP4 is searched by decoding time, which runs ahead of presentation time by a constant where frames are reordered.
    """
    first = next(container.demux(stream))
    ahead = first.pts - first.dts if first.pts is not None and first.dts is not None else 0
    container.seek(int(start) - ahead, stream=stream)


def packets(clip: Clip, slack: float) -> list[tuple[Fraction, bytes]]:
    """The clip's encoded packets in decoding order, each with its exact presentation time in the file, seconds."""
    found = []
    with _opened(clip) as (container, stream, tick):
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise EpisodeError(f"The video {clip.name} is cut short inside a frame; fetch it again.", about="video")
            if packet.pts is None:
                continue
            # decoding time never passes presentation time, so nothing after this packet can be shown before the end
            if packet.dts is not None and clip.is_over(packet.dts * tick, slack):
                break
            seconds = packet.pts * tick
            if clip.holds(seconds, slack):
                found.append((seconds, bytes(packet)))
    return found


def presentation_times(clip: Clip, slack: float) -> list[Fraction]:
    """When the clip's frames are shown, in order, seconds in the file."""
    return sorted(seconds for seconds, _ in packets(clip, slack))


def align(shown: Sequence[Fraction], times: npt.NDArray[np.float64], tolerance: float) -> npt.NDArray[np.intp]:
    """Which of the ``shown`` frames belongs to each row.

    As many frames as rows are aligned by order, whatever the clocks say (some recorders start theirs at 1/fps); of more
    frames, each row takes the nearest to its time. Both clocks are taken from their own first frame.

    Args:
        shown: presentation times, ascending, seconds.
        times: ``[T]`` seconds since the first row.
        tolerance: how far, in seconds, the nearest frame may be.

    Returns:
        ``[T]`` indices into ``shown``, not descending.

    Raises:
        EpisodeError: when there are fewer frames than rows, or none near enough.
    """
    if len(shown) < len(times):
        raise EpisodeError(f"the video has {len(shown)} frames for {len(times)} rows")
    if len(shown) == len(times):
        return np.arange(len(times))
    seconds = np.array([float(time - shown[0]) for time in shown])
    right = np.clip(np.searchsorted(seconds, times), 1, len(seconds) - 1)
    nearest = np.where(times - seconds[right - 1] <= seconds[right] - times, right - 1, right)
    distance = np.abs(seconds[nearest] - times)
    if distance.max() > tolerance:
        row = int(distance.argmax())
        raise EpisodeError(
            f"the video has {len(shown)} frames for {len(times)} rows and none within {tolerance:.3g} s of row {row}"
        )
    return nearest


def decode(clip: Clip, slack: float, shown: Sequence[Fraction], chosen: npt.NDArray[np.intp]) -> Iterator[Image]:
    """The frames ``shown[k]`` for each k of ``chosen`` (not descending) as RGB.

    Raises `EpisodeError` when the decoder does not return the frames the file announces.
    """
    reformatter = VideoReformatter()  # kept for all frames: a new one per frame costs a third of the speed
    wanted = iter(chosen.tolist())
    target = next(wanted, None)
    position = 0
    with _opened(clip) as (container, stream, tick):
        for frame in container.decode(stream):
            if frame.pts is None or not clip.holds(frame.pts * tick, slack):
                continue
            if position >= len(shown) or frame.pts * tick != shown[position]:
                break
            image: Image | None = None
            while target == position:
                image = _rgb(reformatter, frame) if image is None else image
                yield image
                target = next(wanted, None)
            if target is None:
                return
            position += 1
    if target is not None:
        raise EpisodeError(
            f"The video {clip.name} breaks off: frame {position} of {len(shown)} cannot be decoded.", about="video"
        )


def _rgb(reformatter: VideoReformatter, frame: av.VideoFrame) -> Image:
    return np.asarray(reformatter.reformat(frame, format="rgb24").to_ndarray(), np.uint8)
