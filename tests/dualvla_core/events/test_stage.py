from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.events import EventsConfig, detect_event_boundaries
from dualvla_core.events.stage import EncodedFrames
from dualvla_core.pipeline_config import parse_override, resolve_config
from dualvla_core.schemas import BOUNDARIES

MakeImages = Callable[[np.ndarray], list[np.ndarray]]

# Output of stage version 1. Flow may differ in its last digits between processors, hence numbers instead of a digest:
# when they change by more than that, raise the stage's version in tasks/ and record them anew.
GOLDEN = {
    "version": 1,
    "scores": [0.454, 0.424, 0.433, 0.537, 0.658, 0.737, 0.803, 0.742, 0.666, 0.542, 0.474, 0.45],
}


def _trajectory(seconds: float, fps: float) -> np.ndarray:
    times = np.arange(round(seconds * fps)) / fps
    return np.outer(0.9 - np.abs(times - seconds / 2) / seconds, [1, 0, 0, 0, 0, 0])


@pytest.fixture
def segment(make_segment: Callable[..., Path]) -> Path:
    return make_segment(
        [{"trajectory": _trajectory(4, 10)}, {"trajectory": np.zeros((5, 6))}, {"trajectory": np.zeros((1, 6))}],
        cameras=("front", "wrist"),
    )


def test_every_frame_gets_a_score_in_order(segment: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    summary = detect_event_boundaries(
        EventsConfig(), segment, tmp_path, progress=lambda done, total: calls.append((done, total))
    )
    table = pq.read_table(tmp_path / "boundaries.parquet")
    assert table.schema.equals(BOUNDARIES)
    assert table["frame_index"].to_pylist() == [*range(40), *range(5), 0]
    assert len(table["episode"].unique()) == 3
    assert table["score"].to_numpy()[40:].max() == 0
    assert summary["frames"] == 46
    assert calls == [(1, 3), (2, 3), (3, 3)]


def test_scores_are_those_recorded(segment: Path, tmp_path: Path) -> None:
    detect_event_boundaries(EventsConfig(), segment, tmp_path)
    scores = pq.read_table(tmp_path / "boundaries.parquet")["score"].to_numpy()[:40]
    assert scores[14:26] == pytest.approx(GOLDEN["scores"], abs=0.02)


def test_the_same_input_gives_the_same_bytes(segment: Path, tmp_path: Path) -> None:
    outputs = [tmp_path / "one", tmp_path / "two"]
    for output in outputs:
        output.mkdir()
        detect_event_boundaries(EventsConfig(), segment, output)
    first, second = ((output / "boundaries.parquet").read_bytes() for output in outputs)
    assert first == second


def test_a_chosen_camera_is_watched(make_segment: Callable[..., Path], tmp_path: Path, make_images: MakeImages) -> None:
    still = make_images(np.zeros(40))
    folder = make_segment(
        [{"trajectory": _trajectory(4, 10), "camera_images": {"still": still}}], cameras=("still", "front")
    )
    for cameras, expected in (((), False), (("still",), False), (("front",), True), (("still", "front"), True)):
        detect_event_boundaries(EventsConfig(cameras=cameras), folder, tmp_path)
        scores = pq.read_table(tmp_path / "boundaries.parquet")["score"].to_numpy()
        assert (scores.max() > 0.5) == expected


def test_an_unknown_camera_is_a_mistake_in_the_configuration(segment: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no camera 'top'.*\['front', 'wrist'\]"):
        detect_event_boundaries(EventsConfig(cameras=("front", "top")), segment, tmp_path)


def test_an_unknown_detector_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError, match=r"events.detector = 'ddm'.*'optical_flow'"):
        resolve_config([parse_override("events.detector=ddm")])


def test_a_broken_image_is_named() -> None:
    with pytest.raises(ArtifactError, match="frame 1"):
        EncodedFrames([b"", b"no image"])[1]


def test_encoded_frames_are_a_sequence() -> None:
    frames = EncodedFrames([b"a", b"b", b"c"])
    assert len(frames) == 3
    assert len(frames[1:]) == 2
