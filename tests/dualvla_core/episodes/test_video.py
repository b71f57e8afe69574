from __future__ import annotations

import os
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from dualvla_core.episodes.video import Clip, Image, align, decode, packets, presentation_times
from dualvla_core.errors import EpisodeError

FPS = 10
SLACK = 0.05


def frames(clip: Clip, rows: int) -> list[Image]:
    shown = presentation_times(clip, SLACK)
    return list(decode(clip, SLACK, shown, align(shown, np.arange(rows) / FPS, SLACK)))


def reds(images: list[Image]) -> list[int]:
    """Which frame each image is: its red channel was written as 40 * (frame + 1)."""
    return [round(float(image[..., 0].mean()) / 40) - 1 for image in images]


@pytest.fixture
def video(tmp_path: Path, demo: Callable[..., Any], encode_video: Callable[..., None]) -> Callable[..., Clip]:
    def write(count: int = 6, **options: Any) -> Clip:
        path = tmp_path / "clip.mp4"
        encode_video(path, demo(length=count).images(), FPS, **options)
        return Clip(path, "videos/clip.mp4")

    return write


@pytest.mark.parametrize(("codec", "pixels"), [("libx264", "yuv420p"), ("libsvtav1", "yuv420p"), ("mjpeg", "yuvj420p")])
def test_codecs_give_the_frames_in_order_as_pyav_converts_them(
    video: Callable[..., Clip], codec: str, pixels: str
) -> None:
    clip = video(codec=codec, pixels=pixels)
    found = frames(clip, 6)
    with av.open(str(clip.path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == pixels
        reference = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert reds(found) == [0, 1, 2, 3, 4, 5]
    assert all(np.array_equal(image, expected) for image, expected in zip(found, reference, strict=True))
    assert sys.platform != "linux" or os.sched_getscheduler(0) == os.SCHED_OTHER, "an encoder left us in real time"


@pytest.mark.parametrize(
    ("pixels", "count", "shape"), [("yuv420p", 37, (480, 640, 3)), ("yuvj420p", 16, (256, 320, 3))]
)
def test_real_videos_of_both_ranges_have_the_colours_opencv_sees(
    pixels: str, count: int, shape: tuple[int, ...], real_dataset: Callable[[str], Path]
) -> None:
    for path in sorted(real_dataset("real_robot_videos").rglob("*.mp4")):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            if (stream.codec_context.pix_fmt, stream.frames) != (pixels, count):
                continue
        clip = Clip(path, path.name)
        shown = presentation_times(clip, 0.01)
        found = list(decode(clip, 0.01, shown, np.arange(count)))
        assert [image.shape for image in found] == [shape] * count
        capture = cv2.VideoCapture(str(path))
        for image in found:
            seen = capture.read()[1][..., ::-1]
            assert np.abs(image.astype(int) - seen).mean() < 2
        return
    pytest.fail(f"no video of {count} frames in {pixels}")


def test_packets_come_in_decoding_order_with_their_presentation_times(video: Callable[..., Clip]) -> None:
    times = [seconds for seconds, _ in packets(video(), SLACK)]
    assert sorted(times) == [Fraction(i, FPS) for i in range(6)]
    assert times != sorted(times)  # libx264 reorders frames


def test_of_more_frames_than_rows_the_nearest_are_taken(video: Callable[..., Clip]) -> None:
    clip = video()
    shown = presentation_times(clip, SLACK)
    chosen = align(shown, np.array([0.0, 0.12, 0.21, 0.52]), SLACK)
    assert chosen.tolist() == [0, 1, 2, 5]
    assert reds(list(decode(clip, SLACK, shown, chosen))) == [0, 1, 2, 5]


def test_a_frame_can_serve_two_rows(video: Callable[..., Clip]) -> None:
    clip = video()
    shown = presentation_times(clip, SLACK)
    chosen = align(shown, np.array([0.0, 0.28, 0.31]), SLACK)
    assert reds(list(decode(clip, SLACK, shown, chosen))) == [0, 3, 3]


def test_as_many_frames_as_rows_are_aligned_by_order_whatever_the_clocks_say() -> None:
    assert align([Fraction(1), Fraction(2)], np.array([0.0, 17.0]), 0.01).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("shown", "times", "sentence"),
    [
        (2, [0.0, 0.1, 0.2], "the video has 2 frames for 3 rows"),
        (4, [0.0, 0.1, 0.9], "none within 0.05 s of row 2"),
    ],
)
def test_rows_without_a_frame_are_refused(shown: int, times: list[float], sentence: str) -> None:
    with pytest.raises(EpisodeError, match=sentence):
        align([Fraction(i, FPS) for i in range(shown)], np.array(times), SLACK)


def test_a_cut_file_is_refused(video: Callable[..., Clip]) -> None:
    clip = video()
    clip.path.write_bytes(clip.path.read_bytes()[:-200])  # the index at the end is gone
    with pytest.raises(EpisodeError, match=r"videos/clip.mp4 is broken or cut short .*fetch it again"):
        packets(clip, SLACK)


def test_a_file_cut_inside_its_last_frame_is_refused(video: Callable[..., Clip]) -> None:
    clip = video(index_first=True)
    clip.path.write_bytes(clip.path.read_bytes()[:-5])  # the index at the start announces all frames
    with pytest.raises(EpisodeError, match="cut short inside a frame"):
        packets(clip, SLACK)


def test_a_missing_file_and_a_file_without_video_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match=r"videos/clip.mp4 is missing"):
        packets(Clip(tmp_path / "absent.mp4", "videos/clip.mp4"), SLACK)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        assert isinstance(stream, av.AudioStream)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        silence.sample_rate = 8000
        container.mux(stream.encode(silence))
    with pytest.raises(EpisodeError, match="has no video stream"):
        packets(Clip(sound, "sound.wav"), SLACK)


def test_frames_the_decoder_does_not_return_are_missed(video: Callable[..., Clip]) -> None:
    clip = video()
    announced = [*presentation_times(clip, SLACK), Fraction(6, FPS)]
    with pytest.raises(EpisodeError, match="breaks off: frame 6 of 7 cannot be decoded"):
        list(decode(clip, SLACK, announced, np.arange(7)))
