"""Traps of real datasets that no other test names; the others are beside the reader they concern."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.episodes.reader import open_dataset
from dualvla_core.errors import DatasetError, EpisodeError

Make = Callable[..., Any]
CAMERA = "observation.images.front"


def test_pickled_binary_cells_are_never_unpickled(write_dataset: Make, demo: Make, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    cells = pa.array([pickle.dumps(Trap())] * 6, pa.binary())
    folder = write_dataset([demo(columns={"annotation": cells}), demo(columns={"action": cells})])
    file = folder / "meta" / "info.json"
    info = json.loads(file.read_text())
    info["features"]["annotation"] = {"dtype": "binary", "shape": [1]}
    file.write_text(json.dumps(info))
    reader = open_dataset(folder)
    assert reader.signals(0).num_rows == 6
    with pytest.raises(EpisodeError, match="'action' holds binary, expected numbers"):
        reader.signals(1)
    assert not (tmp_path / "executed").exists()


def test_a_video_of_variable_frame_rate_is_aligned_by_its_own_times(write_dataset: Make, demo: Make) -> None:
    """Eight frames, of which the six recorded rows name six by their times."""
    shown = [0.0, 0.1, 0.15, 0.3, 0.5, 0.55, 0.8, 0.9]
    rows = [0.0, 0.1, 0.3, 0.5, 0.8, 0.9]
    folder = write_dataset([demo(columns={"timestamp": pa.array(rows)})])
    with av.open(str(folder / "videos/chunk-000" / CAMERA / "episode_000000.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=100)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        for number, seconds in enumerate(shown):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 30 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = round(seconds * 100), Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    reader = open_dataset(folder)
    assert reader.signals(0)["timestamp"].to_pylist() == pytest.approx(rows)
    assert [round(float(image.mean()) / 30) for image in reader.frames(0, CAMERA)] == [0, 1, 3, 4, 6, 7]


def test_an_episode_without_frames_and_a_video_without_frames(
    write_dataset: Make, demo: Make, encode_video: Make
) -> None:
    folder = write_dataset([demo(length=0, video_frames=3), demo(seed=1), demo(seed=2)])
    (folder / "videos/chunk-000" / CAMERA / "episode_000001.mp4").write_bytes(b"")
    reader = open_dataset(folder)
    with pytest.raises(EpisodeError, match="The episode has no frames"):
        reader.signals(0)
    with pytest.raises(EpisodeError, match="is broken or cut short"):
        list(reader.frames(1, CAMERA))
    assert len(list(reader.frames(2, CAMERA))) == 6


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("real_robot_videos", "No known layout"),
        ("ocrbench_questions", "No known layout"),
        ("scorer_parity", "No known"),
    ],
)
def test_real_folders_that_are_no_demonstrations(name: str, sentence: str, real_dataset: Callable[[str], Path]) -> None:
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(real_dataset(name))
