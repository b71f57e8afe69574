from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.embodiment import load_embodiments
from dualvla_core.episodes.segment import Segment, SegmentWriter
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import SIGNALS, SKIPPED, frames_schema

SAWYER = load_embodiments()["metaworld_sawyer"]
CAMERAS = ["front", "wrist"]


def episode(name: str, length: int) -> pa.RecordBatch:
    """An episode whose frame i is of the grey 10 * i, seen by both cameras."""
    images = [cv2.imencode(".jpg", np.full((16, 24, 3), 10 * i, np.uint8))[1].tobytes() for i in range(length)]
    rows = [
        {
            "episode": name,
            "frame_index": i,
            "timestamp": i / 10,
            "state": [float(i)],
            "instruction": "go",
            **{f"image.{camera}": image for camera in CAMERAS},
        }
        for i, image in enumerate(images)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=frames_schema(CAMERAS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with SegmentWriter(tmp_path, SAWYER, CAMERAS) as writer:
        writer.append(episode("aa", 3), 10.0)
        writer.skip(7, "cc", "It was broken.")
        writer.append(episode("bb", 2), 10.0)
    return tmp_path


def test_what_was_written_is_read(folder: Path) -> None:
    segment = Segment(folder)
    assert (len(segment), segment.cameras, segment.embodiment) == (2, CAMERAS, SAWYER)
    assert segment.episodes.to_pylist()[1] == {
        "episode": "bb",
        "length": 2,
        "fps": 10.0,
        "embodiment": "metaworld_sawyer",
        "instruction": "go",
        "cameras": CAMERAS,
    }
    assert segment.find("bb") == 1
    assert segment.signals(1).schema.names == SIGNALS.names
    assert segment.signals(0)["state"].to_pylist() == [[0], [1], [2]]
    assert segment.images(1, "wrist") == episode("bb", 2)["image.wrist"].to_pylist()
    frames = list(segment.frames(0, "front"))
    assert [frame.shape for frame in frames] == [(16, 24, 3)] * 3
    assert [round(float(frame.mean())) for frame in frames] == [0, 10, 20]
    assert pq.read_table(folder / "skipped.parquet", schema=SKIPPED).to_pylist() == [
        {"episode_index": 7, "episode": "cc", "reason": "It was broken."}
    ]


def test_frames_are_rgb(tmp_path: Path) -> None:
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 2] = 255  # OpenCV writes BGR
    batch = episode("aa", 1)
    column = pa.array([cv2.imencode(".jpg", red)[1].tobytes()], pa.binary())
    batch = batch.set_column(batch.schema.names.index("image.front"), batch.schema.field("image.front"), column)
    with SegmentWriter(tmp_path, SAWYER, CAMERAS) as writer:
        writer.append(batch, 10.0)
    segment = Segment(tmp_path)
    for image in (next(segment.frames(0, "front")), segment.frame(0, "front", 0)):
        assert image[8, 8].tolist() == pytest.approx([255, 0, 0], abs=3)


def test_an_empty_segment(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, SAWYER, CAMERAS):
        pass
    segment = Segment(tmp_path)
    assert (len(segment), segment.cameras) == (0, CAMERAS)


def test_a_writer_that_fails_leaves_no_index(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), SegmentWriter(tmp_path, SAWYER, CAMERAS):
        raise RuntimeError
    assert not (tmp_path / "episodes.parquet").exists()


def test_a_batch_of_another_form_is_refused(tmp_path: Path) -> None:
    with SegmentWriter(tmp_path, SAWYER, ["front"]) as writer, pytest.raises(ArtifactError, match="unexpected columns"):
        writer.append(episode("aa", 1), 10.0)


def test_what_a_segment_does_not_hold(folder: Path) -> None:
    segment = Segment(folder)
    with pytest.raises(ArtifactError, match="does not hold the episode zz; it holds 2 others"):
        segment.find("zz")
    for read in (segment.images, segment.frames):
        with pytest.raises(ArtifactError, match=r"no camera 'top'; it has \['front', 'wrist'\]"):
            list(read(0, "top"))


def rewrite(folder: Path, metadata: dict[bytes, bytes] | None, replace: Callable[[bytes], bytes] = bytes) -> None:
    """frames.arrow again, with other schema metadata or other images."""
    file = pa.ipc.open_file((folder / "frames.arrow").read_bytes())
    schema = file.schema if metadata is None else file.schema.with_metadata(metadata)
    with pa.ipc.new_file(folder / "frames.arrow", schema) as writer:
        for number in range(file.num_record_batches):
            batch = file.get_batch(number).to_pydict()
            batch["image.front"] = [replace(image) for image in batch["image.front"]]
            writer.write_batch(pa.RecordBatch.from_pydict(batch, schema=schema))


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({}, "does not say which embodiment it holds"),
        ({"format": 2, "embodiment": {}}, "has the format 2, this version reads 1"),
        ({"format": 1, "embodiment": {"name": "x"}}, "does not say which embodiment it holds"),
    ],
)
def test_segments_of_other_kinds(folder: Path, metadata: dict[str, Any], sentence: str) -> None:
    rewrite(folder, {b"dualvla": json.dumps(metadata).encode()} if metadata else {b"x": b"y"})
    with pytest.raises(ArtifactError, match=sentence):
        Segment(folder)


def test_a_broken_image_is_named(folder: Path) -> None:
    rewrite(folder, None, lambda image: b"no image")
    with pytest.raises(ArtifactError, match=r"image of camera 'front' in frames.arrow is broken"):
        list(Segment(folder).frames(0, "front"))


def test_an_index_that_does_not_belong_to_the_frames(folder: Path) -> None:
    pq.write_table(pq.read_table(folder / "episodes.parquet").slice(0, 1), folder / "episodes.parquet")
    with pytest.raises(ArtifactError, match=r"holds 2 episodes, its index lists 1"):
        Segment(folder)


def test_a_folder_without_a_segment(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="does not hold a readable segment"):
        Segment(tmp_path)
