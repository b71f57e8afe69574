"""Reading training samples in random order, side by side with litdata and with nothing but JPEG decoding.

    python benchmarks/loader.py [--samples 3000] [--rounds 100]

Every program delivers batches of 64 RGB images of 256 x 256 with their 16 actions, in an exact or (litdata) its own
shuffle, from the same images. litdata runs in an environment of its own, which the benchmark makes once.
The programs take turns batch by batch, so that a busy machine slows them all; times are of the processor, the median
of all batches.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import simplejpeg
from rivals.environment import program, python_with, told_by

from dualvla_core.episodes.embodiment import Arm, Embodiment, SignalSlice
from dualvla_core.episodes.segment import SegmentWriter
from dualvla_core.schemas import DECISIONS, frames_schema
from dualvla_core.shards import BatchSampler, SampleOrder, ShardDataset, ShardsConfig, build_shard

LITDATA = "litdata==0.2.76"
SIZE, FRAMES, BATCH, CHUNK, WIDTH = 256, 150, 64, 16, 7
WARMING = 5  # rounds that are not counted
ROBOT = Embodiment(
    name="benchmark",
    description="seven joints",
    robot_types=("benchmark",),
    relative_actions=True,
    arms=(Arm(name="arm", joints=SignalSlice(column="observation.state", start=0, stop=WIDTH)),),
)


def images(count: int) -> Iterator[bytes]:
    """JPEG images of quality 95 whose content is about as hard to decode as a camera's."""
    rng = np.random.default_rng(0)
    ground = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8), (0, 0), 2)
    for index in range(count):
        shown = np.roll(ground, index, axis=1)
        cv2.circle(shown, (index * 3 % SIZE, 128), 30, (200, 80, 40), -1)
        noisy = np.clip(shown + rng.normal(0, 4, shown.shape), 0, 255).astype(np.uint8)
        yield cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()


def write_shard(folder: Path, samples: int) -> Path:
    """A shard as the pipeline writes it, of episodes with one camera."""
    segment, decisions, shard = (folder / name for name in ("segment", "decisions", "shard"))
    for each in (segment, decisions, shard):
        each.mkdir()
    rows: list[dict[str, object]] = []
    encoded = images(samples)
    with SegmentWriter(segment, ROBOT, ["front"]) as writer:
        for number in range(samples // FRAMES):
            motion = np.random.default_rng(number).normal(size=(FRAMES, WIDTH)).astype(np.float32).tolist()
            keys = [{"episode": f"episode-{number:05d}", "frame_index": frame} for frame in range(FRAMES)]
            frames = [
                {**key, "timestamp": key["frame_index"] / 30, "state": row, "action": row, "joints": row}
                | {"instruction": "push the block", "image.front": next(encoded)}
                for key, row in zip(keys, motion, strict=True)
            ]
            writer.append(pa.RecordBatch.from_pylist(frames, frames_schema(["front"])), 30.0)
            verdict = dict.fromkeys(("keep", "scene_label", "action_label", "gripper_flip", "has_reasoning"), False)
            numbers = {"boundary_score": 0.0, "boundary_threshold": 0.5, "reasoning_words": 0}
            rows += [{**key, **verdict, **numbers, "rule": "dropped: steady motion"} for key in keys]
    pq.write_table(pa.Table.from_pylist(rows, DECISIONS), decisions / "decisions.parquet")
    build_shard(ShardsConfig(), segment, decisions, shard)
    return shard


def in_memory(shard: Path) -> Iterator[list[np.ndarray]]:
    """Batches of the shard's encoded images, which are held in memory, in random order."""
    column = pa.ipc.open_file(str(shard / "shard.arrow")).read_all()["image.front"]
    encoded = [np.frombuffer(image.as_buffer(), np.uint8) for image in column]
    rng = np.random.default_rng(0)
    while True:
        yield [encoded[index] for index in rng.integers(0, len(encoded), BATCH)]


def decode_only(shard: Path) -> Iterator[int]:
    """The floor: images are decoded, thrown away, and nothing else."""
    for batch in in_memory(shard):
        for image in batch:
            cv2.imdecode(image, cv2.IMREAD_COLOR_RGB)
        yield BATCH


def decode_in_place(shard: Path) -> Iterator[int]:
    """The lowest floor we know: libjpeg-turbo itself, every image into the same memory."""
    memory = np.empty((SIZE, SIZE, 3), np.uint8)
    for batch in in_memory(shard):
        for image in batch:
            simplejpeg.decode_jpeg(image, buffer=memory)
        yield BATCH


def decode_batches(shard: Path) -> Iterator[int]:
    """The floor, but a whole batch is delivered."""
    for batch in in_memory(shard):
        np.stack([cv2.imdecode(image, cv2.IMREAD_COLOR_RGB) for image in batch])
        yield BATCH


def ours(shard: Path) -> Iterator[int]:
    """The frames of a batch, as training takes them."""
    dataset = ShardDataset([shard], action_chunk=CHUNK)
    for batch in BatchSampler(SampleOrder([len(dataset)]), BATCH):
        frames = [dataset[index] for index in batch]
        yield len(frames)


def ours_stacked(shard: Path) -> Iterator[int]:
    """The same as two arrays, as litdata's loader delivers them."""
    dataset = ShardDataset([shard], action_chunk=CHUNK)
    for batch in BatchSampler(SampleOrder([len(dataset)]), BATCH):
        frames = [dataset[index] for index in batch]
        images, _ = np.stack([frame.images["front"] for frame in frames]), np.stack([frame.actions for frame in frames])
        yield len(images)


OURS = "this project, stacked"
PROGRAMS = {
    "JPEG decoding alone (OpenCV)": decode_only,
    "JPEG decoding alone (libjpeg-turbo into one place)": decode_in_place,
    "JPEG decoding into batches (OpenCV)": decode_batches,
    "this project": ours,
    OURS: ours_stacked,
}


class Here:
    """A program of this process."""

    def __init__(self, batches: Iterator[int]) -> None:
        self._batches = batches

    def batch(self) -> float:
        """Processor seconds of one batch."""
        start = time.process_time()
        next(self._batches)
        return time.process_time() - start


class There:
    """A program of another environment, which makes a batch for every line it is sent, and says how long it took."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def batch(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate("")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "dualvla-benchmark-loader")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    python = python_with(options.cache / "litdata-environment", [LITDATA, "pyarrow", "opencv-python-headless"])
    with tempfile.TemporaryDirectory(dir=options.cache) as scratch:
        folder = Path(scratch)
        shard = write_shard(folder, options.samples)
        told_by(python, "litdata_write.py", shard / "shard.arrow", folder / "chunks")
        litdata = There([str(python), str(program("litdata_read.py")), str(folder / "chunks")])
        programs: dict[str, Here | There] = {name: Here(batches(shard)) for name, batches in PROGRAMS.items()}
        programs[LITDATA.replace("==", " ")] = litdata
        costs: dict[str, list[float]] = {name: [] for name in programs}
        for number in range(-WARMING, options.rounds):
            for name, each in programs.items():
                seconds = each.batch()
                if number >= 0:
                    costs[name].append(seconds / BATCH * 1e6)
        litdata.close()
    usual = {name: statistics.median(found) for name, found in costs.items()}
    print("| program | µs of a processor per sample | this project's samples to its | stacked |\n|---|---|---|---|")
    for name, cost in usual.items():
        print(f"| {name} | {cost:.0f} | {cost / usual['this project']:.2f} | {cost / usual[OURS]:.2f} |")


if __name__ == "__main__":
    main()
