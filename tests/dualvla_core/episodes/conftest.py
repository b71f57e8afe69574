"""Tiny LeRobot datasets, written with PyAV and pyarrow alone."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

CAMERA = "observation.images.front"
DATA = Path(__file__).parents[4] / "shared" / "data"


@dataclass(frozen=True)
class Demo:
    """One demonstration as a test wants it; the rest of the row columns are derived."""

    length: int = 6
    seed: int = 0
    size: int = 7
    task: int = 0
    columns: Mapping[str, pa.Array] = field(default_factory=dict)  # added, or in place of derived ones
    drop: Sequence[str] = ()
    video_frames: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def state(self) -> np.ndarray:
        """``[T, size]`` float32, different for every seed."""
        return np.random.default_rng(self.seed).normal(size=(self.length, self.size)).astype(np.float32)

    def images(self) -> list[np.ndarray]:
        """RGB frames whose red channel is 40 * (frame + 1): a decoder's order can be read off them."""
        count = self.length if self.video_frames is None else self.video_frames
        images = []
        for i in range(count):
            image = np.full((48, 64, 3), 20 + self.seed, np.uint8)
            image[..., 0] = min(255, 40 * (i + 1))
            images.append(image)
        return images


def lists(values: np.ndarray, fixed: bool = False) -> pa.Array:
    """``[T, D]`` as a list or fixed-size-list column."""
    kind = pa.list_(pa.from_numpy_dtype(values.dtype), values.shape[1] if fixed else -1)
    return pa.array(list(values), kind)


def encode(
    path: Path,
    images: Sequence[np.ndarray],
    fps: int,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    index_first: bool = False,
) -> None:
    """Write an MP4; with libx264 frames are reordered and there is one key frame in 12."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "faststart"} if index_first else {}) as container:
        stream = container.add_stream(codec, rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = images[0].shape[1], images[0].shape[0], pixels
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "bf": "2", "crf": "10"}
            stream.codec_context.gop_size = 12
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    if codec == "libsvtav1" and sys.platform == "linux":
        # For root it makes its caller a real-time process; two threads of a child that wait would stop the machine.
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def write_v2(
    root: Path,
    demos: Sequence[Demo],
    fps: int = 10,
    robot_type: str = "metaworld_sawyer",
    version: str = "v2.1",
    tasks: Sequence[str] = ("push the block", "open the drawer"),
    info: Mapping[str, Any] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
) -> Path:
    """A LeRobot v2.x dataset of ``demos`` with one camera."""
    (root / "meta").mkdir(parents=True)
    size = demos[0].size
    features = {
        "observation.state": {"dtype": "float32", "shape": [size], "names": [[f"motor_{i}" for i in range(size)]]},
        "action": {"dtype": "float32", "shape": [size], "names": {"axes": ["x"]}},
        CAMERA: {"dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"]},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
    }
    described = {
        "codebase_version": version,
        "robot_type": robot_type,
        "fps": fps,
        "total_episodes": len(demos),
        "chunks_size": 1000,
        "splits": {"train": f"0:{len(demos)}"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": features,
        **(info or {}),
    }
    (root / "meta" / "info.json").write_text(json.dumps(described))
    write_lines(root / "meta" / "tasks.jsonl", [{"task_index": i, "task": text} for i, text in enumerate(tasks)])
    episodes = []
    for index, demo in enumerate(demos):
        data = root / "data" / "chunk-000" / f"episode_{index:06d}.parquet"
        data.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows(demo, index, fps), data)
        if demo.images():
            video = root / "videos" / "chunk-000" / CAMERA / f"episode_{index:06d}.mp4"
            encode(video, demo.images(), fps, codec, pixels)
        described_episode = {"episode_index": index, "tasks": [tasks[demo.task]], "length": demo.length}
        episodes.append({**described_episode, **demo.metadata})
    write_lines(root / "meta" / "episodes.jsonl", episodes)
    return root


def rows(demo: Demo, index: int, fps: int) -> pa.Table:
    """The data file of one episode."""
    count = np.arange(demo.length)
    columns: dict[str, pa.Array] = {
        "observation.state": lists(demo.state()),
        "action": lists(-demo.state()),
        "timestamp": pa.array((count / fps).astype(np.float32)),
        "frame_index": pa.array(count),
        "episode_index": pa.array(np.full(demo.length, index)),
        "task_index": pa.array(np.full(demo.length, demo.task)),
        **demo.columns,
    }
    return pa.table({name: column for name, column in columns.items() if name not in demo.drop})


def write_lines(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """JSON lines."""
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries))


def read_lines(path: Path) -> list[dict[str, Any]]:
    """JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def merge_to_v3(source: Path, root: Path, episodes: Sequence[int], text_column: str = "__index_level_0__") -> Path:
    """A v3.0 copy of a v2.x dataset: one data file and one remuxed video per camera for all ``episodes``."""
    info = json.loads((source / "meta" / "info.json").read_text())
    fps = info["fps"]
    tables = [pq.read_table(source / "data" / "chunk-000" / f"episode_{i:06d}.parquet") for i in episodes]
    lengths = [table.num_rows for table in tables]
    listed = {entry["episode_index"]: entry for entry in read_lines(source / "meta" / "episodes.jsonl")}
    entries: list[dict[str, Any]] = [
        {**listed[i], "data/chunk_index": 0, "data/file_index": 0, "stats/action/max": [1.0]} for i in episodes
    ]
    for camera in [name for name, feature in info["features"].items() if feature["dtype"] == "video"]:
        videos = [source / "videos" / "chunk-000" / camera / f"episode_{i:06d}.mp4" for i in episodes]
        starts = remux(videos, root / "videos" / camera / "chunk-000" / "file-000.mp4", lengths, fps)
        for entry, start, length in zip(entries, starts, lengths, strict=True):
            prefix = f"videos/{camera}"
            entry |= {f"{prefix}/chunk_index": 0, f"{prefix}/file_index": 0}
            entry |= {f"{prefix}/from_timestamp": start, f"{prefix}/to_timestamp": start + length / fps}
    (root / "data" / "chunk-000").mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), root / "data" / "chunk-000" / "file-000.parquet", row_group_size=300)
    (root / "meta" / "episodes" / "chunk-000").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(entries), root / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    tasks = read_lines(source / "meta" / "tasks.jsonl")
    table = {"task_index": [t["task_index"] for t in tasks], text_column: [t["task"] for t in tasks]}
    pq.write_table(pa.table(table), root / "meta" / "tasks.parquet")
    for key in ("data_path", "video_path"):
        del info[key]
    info |= {"codebase_version": "v3.0", "total_episodes": len(episodes)}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    return root


def remux(videos: Sequence[Path], target: Path, lengths: Sequence[int], fps: float) -> list[float]:
    """Put the videos' packets one behind the other into one file; returns where each starts, in seconds.

    Decoding times are counted anew, two frames ahead, as reordered clips of one frame and of many need in one file.
    """
    target.parent.mkdir(parents=True)
    starts, start, count = [], Fraction(0), 0
    with av.open(str(target), "w") as output:
        stream: av.VideoStream | None = None
        for video, length in zip(videos, lengths, strict=True):
            starts.append(float(start))
            with av.open(str(video)) as container:
                source = container.streams.video[0]
                if stream is None:
                    stream = output.add_stream_from_template(source, opaque=True)
                for packet in container.demux(source):
                    if packet.dts is not None and packet.pts is not None:
                        packet.pts += round(start / packet.time_base)
                        packet.dts = round((count - 2) / Fraction(fps) / packet.time_base)
                        packet.stream = stream
                        output.mux(packet)
                        count += 1
            start += Fraction(length) / Fraction(fps)
    return starts


Make = Callable[..., Any]


@pytest.fixture
def demo() -> Make:
    """The factory of `Demo`s."""
    return Demo


@pytest.fixture
def write_dataset(tmp_path: Path) -> Make:
    """A factory ``(demos or number of demos, name="set", **write_v2 options) -> folder`` of v2.x datasets."""

    def write(demos: Sequence[Demo] | int = 2, name: str = "set", **options: Any) -> Path:
        if isinstance(demos, int):
            demos = [Demo(seed=i, task=i % 2) for i in range(demos)]
        return write_v2(tmp_path / name, demos, **options)

    return write


@pytest.fixture
def merge(tmp_path: Path) -> Make:
    """A factory ``(v2 folder, episodes, name, text_column=...) -> folder`` of v3.0 copies."""

    def copy(source: Path, episodes: Sequence[int], name: str = "merged", **options: Any) -> Path:
        return merge_to_v3(source, tmp_path / name, episodes, **options)

    return copy


@pytest.fixture
def encode_video() -> Make:
    """The function ``(path, images, fps, codec, pixels)`` that writes an MP4."""
    return encode


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Readers that go wrong, importable by the decoding process, which is given this process's search path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("faulty_readers")


def real(name: str) -> Path:
    """A real dataset's folder; the test is skipped where it is not to be had."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"needs the dataset {name} in ../shared/data, which is not on this machine")
    return folder


@pytest.fixture(scope="session")
def real_dataset() -> Make:
    """The folder of a real dataset by name; the test is skipped where it is absent."""
    return real
