from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dualvla_core.events.config import OpticalFlowConfig, Span
from dualvla_core.events.optical_flow import OpticalFlowDetector, pattern_change, sample_frames

MakeImages = Callable[[np.ndarray], list[np.ndarray]]
Record = Callable[[float], tuple[list[np.ndarray], np.ndarray]]


class CountingFrames(Sequence[np.ndarray]):
    """Frames that remember which of them were looked at."""

    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        self.frames = frames
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Any) -> Any:
        self.seen.append(index)
        return self.frames[index]


@pytest.fixture
def there_and_back(make_images: MakeImages) -> Record:
    """Seconds -> a square that moves right for 2 s and then left for 2 s, at a frame rate (Hz)."""

    def make(fps: float) -> tuple[list[np.ndarray], np.ndarray]:
        timestamps = np.arange(round(4 * fps)) / fps
        return make_images(0.9 - np.abs(timestamps - 2) * 0.4), timestamps

    return make


def _score(frames: Sequence[np.ndarray], timestamps: np.ndarray) -> np.ndarray:
    return OpticalFlowDetector(OpticalFlowConfig()).score([frames], timestamps)


def test_the_spread_of_change_is_measured_by_hand() -> None:
    still, moving = [0.0, 0.0], [2.0, 0.0]
    change = pattern_change(np.array([still] * 3 + [moving] * 3), window=2)
    # frame 3: two still before, two moving after: (2, 0), whose root mean square is sqrt(2)
    assert change[3] == pytest.approx(np.sqrt(2))
    # frames 2 and 4: half of the window differs
    assert change[[2, 4]] == pytest.approx(np.sqrt(0.5))
    assert change[[0, 1, 5, 6]].tolist() == [0, 0, 0, 0]


def test_a_short_window_at_the_end_counts_less() -> None:
    change = pattern_change(np.array([[1.0], [0.0], [0.0], [0.0], [0.0]]), window=4)
    # frame 1: one motion before, four after: certainty sqrt(2 * 1 * 4 / (5 * 4))
    assert change[1] == pytest.approx(np.sqrt(0.4))


def test_frames_are_sampled_by_the_clock() -> None:
    assert sample_frames(np.arange(9) / 80, 0.05).tolist() == [0, 4, 8]
    assert sample_frames(np.arange(4) / 5, 0.05).tolist() == [0, 1, 2, 3]
    assert sample_frames(np.array([0, 0.04, 0.11, 0.19, 0.3]), 0.1).tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize("fps", [5, 20, 80])
def test_a_turn_is_found_at_any_frame_rate(fps: float, there_and_back: Record) -> None:
    frames, timestamps = there_and_back(fps)
    score = _score(frames, timestamps)
    assert score.dtype == np.float32
    assert timestamps[score.argmax()] == pytest.approx(2, abs=0.21)
    assert score.max() > 0.6
    assert score[np.abs(timestamps - 2) > 1].max() < score.max() - 0.15


def test_only_the_sampled_frames_are_looked_at(
    there_and_back: Record,
) -> None:
    frames, timestamps = there_and_back(80)
    counting = CountingFrames(frames)
    _score(counting, timestamps)
    assert len(counting.seen) == len(set(counting.seen)) == 51  # 4 s at a fifth of a window of 0.4 s, both ends


def test_irregular_timestamps_are_respected(
    there_and_back: Record,
) -> None:
    frames, timestamps = there_and_back(20)
    kept = np.concatenate([np.arange(0, 40, 4), np.arange(40, 80)])  # the first half is recorded four times slower
    score = _score([frames[index] for index in kept], timestamps[kept])
    assert timestamps[kept][score.argmax()] == pytest.approx(2, abs=0.21)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_hardly_any_frames(length: int, make_images: MakeImages) -> None:
    score = _score(make_images(np.linspace(0, 1, length)), np.arange(length) / 10)
    assert score.shape == (length,)
    assert score[0] == score[-1] == 0


def test_a_static_trajectory_has_no_boundary(make_images: MakeImages) -> None:
    assert not _score(make_images(np.zeros(30)), np.arange(30) / 10).any()


def test_sensor_noise_alone_is_no_boundary(make_images: MakeImages) -> None:
    rng = np.random.default_rng(0)
    noisy = [(image + rng.integers(0, 3, image.shape)).astype(np.uint8) for image in make_images(np.zeros(30))]
    assert _score(noisy, np.arange(30) / 10).max() < 0.5


def test_scores_lie_in_the_unit_interval(make_images: MakeImages) -> None:
    rng = np.random.default_rng(1)
    score = _score(make_images(rng.random(40)), np.arange(40) / 10)
    assert (score >= 0).all()
    assert (score <= 1).all()


def test_a_span_is_capped_by_the_trajectory() -> None:
    span = Span(seconds=0.5, fraction=0.1)
    assert span.frames(length=400, fps=50) == 25
    assert span.frames(length=80, fps=80) == 8  # a second of simulation: the cap of 0.1 s
    assert span.frames(length=3, fps=5) == 1
    assert span.within(2.0) == 0.2
