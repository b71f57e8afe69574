"""Decoding demonstrations and reading their frames back, side by side with what a user would write instead.

    python benchmarks/decode.py [--episodes 50] [--frames 150] [--rival]

Synthetic demonstrations with texture, motion and noise (H.264, a key frame every 30) are decoded to the Arrow artifact,
and by a bare PyAV loop with JPEG encoding, both on one process and on two: what the bare loop gains by the second one
is what the machine has to give, and how much more processor time two take together is what they lose by sharing it.
Then frames are read back in order and at random. With ``--rival`` the reading is compared with torchcodec and
`LeRobotDataset` on the same files, in an environment of its own that is made for the purpose (torchcodec needs FFmpeg's
shared libraries on the machine). Times are processor seconds, and wall seconds for the gain of two processes; the
ratios are what to compare between machines.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rivals.environment import python_with, told_by

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episodes
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.reader import open_dataset
from dualvla_core.episodes.segment import Segment

CAMERA = "observation.images.front"
KEYS = ("frame_index", "episode_index", "index", "task_index")
FPS = 30
SIZES = {"256x256": (256, 256), "640x480": (480, 640)}
RIVALS = ("datasets>=4,<5", "av<16", "accelerate", "deepdiff<9", "draccus==0.10.0", "einops", "jsonlines", "termcolor")
RIVALS += ("gymnasium", "imageio-ffmpeg", "opencv-python-headless", "pillow", "pyserial", "torchcodec==0.13.*")
ALONE = ("lerobot==0.4.4", "torchvision==0.28.0")  # they ask for an older torch, and read videos with this one too


def write_dataset(root: Path, episodes: int, frames: int, size: tuple[int, int], seed: int = 0) -> Path:
    """LeRobot v3.0, a file an episode; five different videos, repeated: it is their size and number that counts."""
    height, width = size
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (height, 2 * width, 3), np.uint8), (0, 0), 3)
    data, videos, meta = root / "data/chunk-000", root / "videos" / CAMERA / "chunk-000", root / "meta"
    for folder in (data, videos, meta / "episodes/chunk-000"):
        folder.mkdir(parents=True)
    listed = []
    for number in range(episodes):
        video = videos / f"file-{number:03d}.mp4"
        if number < 5:
            _encode(video, texture, rng, frames, size)
        else:
            shutil.copyfile(videos / f"file-{number % 5:03d}.mp4", video)
        state = np.cumsum(rng.normal(0, 0.01, (frames, 7)), axis=0).astype(np.float32)
        columns = {
            "observation.state": pa.array(list(state), pa.list_(pa.float32(), 7)),
            "action": pa.array(list(state), pa.list_(pa.float32(), 7)),
            "timestamp": (np.arange(frames) / FPS).astype(np.float32),
            "frame_index": np.arange(frames),
            "episode_index": np.full(frames, number),
            "index": number * frames + np.arange(frames),
            "task_index": np.zeros(frames, np.int64),
        }
        pq.write_table(pa.table(columns), data / f"file-{number:03d}.parquet")
        place = {"chunk_index": 0, "file_index": number}
        row = {"episode_index": number, "tasks": ["move"], "length": frames, "dataset_from_index": number * frames}
        row |= {f"data/{key}": value for key, value in place.items()} | {"dataset_to_index": (number + 1) * frames}
        row |= {f"videos/{CAMERA}/{key}": value for key, value in place.items()}
        listed.append({**row, f"videos/{CAMERA}/from_timestamp": 0.0, f"videos/{CAMERA}/to_timestamp": frames / FPS})
    pq.write_table(pa.Table.from_pylist(listed), meta / "episodes/chunk-000/file-000.parquet")
    pq.write_table(_tasks(), meta / "tasks.parquet")
    (meta / "info.json").write_text(json.dumps(_info(episodes, frames, size)))
    return root


def _tasks() -> pa.Table:
    """The one task; its text is the index of the data frame that pandas makes of it."""
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": kind, "metadata": None}
        for name, kind in (("task_index", "int64"), ("task", "object"))
    ]
    pandas = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return pa.table({"task_index": [0], "task": ["move"]}).replace_schema_metadata({"pandas": json.dumps(pandas)})


def _info(episodes: int, frames: int, size: tuple[int, int]) -> dict[str, object]:
    numbers = {name: {"dtype": "float32", "shape": [7], "names": None} for name in ("observation.state", "action")}
    keys = {name: {"dtype": "int64", "shape": [1], "names": None} for name in KEYS}
    time_stamp = {"timestamp": {"dtype": "float32", "shape": [1], "names": None}}
    camera = {CAMERA: {"dtype": "video", "shape": [*size, 3], "names": ["height", "width", "channels"]}}
    totals = {"total_episodes": episodes, "total_frames": episodes * frames, "total_tasks": 1, "chunks_size": 1000}
    return {
        "codebase_version": "v3.0",
        "robot_type": "metaworld_sawyer",
        "fps": FPS,
        **totals,
        "splits": {"train": f"0:{episodes}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {**numbers, **keys, **time_stamp, **camera},
    }


def _encode(path: Path, texture: np.ndarray, rng: np.random.Generator, frames: int, size: tuple[int, int]) -> None:
    height, width = size
    noise = rng.normal(0, 3, (8, height, width, 3)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "23"}
        stream.codec_context.gop_size = 30
        for number in range(frames):
            image = texture[:, number % width : number % width + width].astype(np.int16) + noise[number % 8]
            x = int((width - 60) * (0.5 + 0.5 * np.sin(number / 20)))
            image[height // 3 : height // 3 + 60, x : x + 60] = (200, 60, 40)
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def bare_loop(videos: list[Path]) -> int:
    """Decode every video on one thread and encode every frame; nothing is kept."""
    cv2.setNumThreads(1)
    count = 0
    for video in videos:
        with av.open(str(video)) as container:
            container.streams.video[0].codec_context.thread_count = 1
            for frame in container.decode(video=0):
                image = cv2.cvtColor(frame.to_ndarray(format="rgb24"), cv2.COLOR_RGB2BGR)
                cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])
                count += 1
    return count


def identities(dataset: Path) -> dict[str, int]:
    reader = open_dataset(dataset)
    found = {}
    for index in reader.episode_indices():
        packets = {CAMERA: reader.packets(index, CAMERA)}
        found[episode_digest(reader.signals(index), packets, reader.embodiment)] = index
    return found


def ours(dataset: Path, episodes: dict[str, int], output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    decode_episodes(DecodeConfig(), dataset, None, episodes, output)


def processor_seconds(program: Callable[[], object]) -> tuple[float, float]:
    """Processor seconds of this process and its children, and wall seconds."""
    before, start = os.times(), time.perf_counter()
    program()
    after = os.times()
    used = [
        getattr(after, name) - getattr(before, name) for name in ("user", "system", "children_user", "children_system")
    ]
    return sum(used), time.perf_counter() - start


def peak_memory(dataset: Path, episodes: dict[str, int], output: Path) -> float:
    """Peak resident MB of the larger of stage and decoder, in a process that does nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:  # may have children, a Pool may not
        return pool.submit(_peak, dataset, episodes, output).result()


def _peak(dataset: Path, episodes: dict[str, int], output: Path) -> float:
    ours(dataset, episodes, output)
    return max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 1024


def on_two_processes(program: Callable[..., object], halves: list[tuple[object, ...]]) -> tuple[float, float]:
    """Processor and wall seconds of two processes that are already there, each with its half of the work."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(time.sleep, (1, 1)))
        start = time.perf_counter()
        running = [pool.submit(_processor_seconds, program, half) for half in halves]
        used = sum(each.result() for each in running)
        return used, time.perf_counter() - start


def _processor_seconds(program: Callable[..., object], arguments: tuple[object, ...]) -> float:
    return processor_seconds(lambda: program(*arguments))[0]


def read_back(output: Path, draws: int) -> tuple[float, float]:
    """Frames per processor second in order and at random."""
    segment = Segment(output)
    start = time.process_time()
    count = sum(1 for position in range(len(segment)) for _ in segment.frames(position, CAMERA))
    sequential = count / (time.process_time() - start)
    rng = np.random.default_rng(0)
    places = rng.integers(0, [len(segment), count // len(segment)], (draws, 2)).tolist()
    start = time.process_time()
    for position, index in places:
        segment.frame(position, CAMERA, index)
    return sequential, draws / (time.process_time() - start)


def measure(scratch: Path, name: str, options: argparse.Namespace) -> None:
    dataset = write_dataset(scratch / name, options.episodes, options.frames, SIZES[name])
    frames = options.episodes * options.frames
    episodes, output = identities(dataset), scratch / "out"
    videos = sorted(dataset.rglob("*.mp4"))
    # first of all: a new process counts what its parent held when it began
    few = dict(list(episodes.items())[: max(1, options.episodes // 5)])
    memory = [peak_memory(dataset, part, scratch / "memory") for part in (few, episodes)]
    names = list(episodes)
    halves = [
        (dataset, {name: episodes[name] for name in names[part::2]}, scratch / f"half {part}") for part in range(2)
    ]
    bare, bare_wall = processor_seconds(lambda: bare_loop(videos))
    used, wall = processor_seconds(lambda: ours(dataset, episodes, output))
    both_bare = on_two_processes(bare_loop, [(videos[part::2],) for part in range(2)])
    both = on_two_processes(ours, halves)
    back = read_back(output, options.draws)
    print(f"\n### {name}, {options.episodes} episodes of {options.frames} frames\n")
    print("| | frames per processor second | ratio | on 2 processes | lost by sharing |\n|---|---|---|---|---|")
    for label, (one, one_wall), (two, two_wall) in (
        ("bare PyAV loop with JPEG encoding", (bare, bare_wall), both_bare),
        ("the whole stage", (used, wall), both),
    ):
        print(
            f"| {label} | {frames / one:.0f} | {bare / one:.2f} | {one_wall / two_wall:.2f} times as fast "
            f"| {1 - one / two:.0%} |"
        )
    print("\n| reading RGB | in order | ours to it | at random | ours to it |\n|---|---|---|---|---|")
    print(f"| this project | {back[0]:.0f} | | {back[1]:.0f} | |")
    if options.rival:
        python = python_with(Path(options.environment), RIVALS, ALONE)
        told = told_by(python, "read_videos.py", dataset, options.episodes, options.frames, options.draws)
        for rival, (in_order, at_random) in json.loads(told).items():
            ratios = (back[0] / in_order, back[1] / at_random)
            print(f"| {rival} | {in_order:.0f} | {ratios[0]:.1f} | {at_random:.0f} | {ratios[1]:.1f} |")
    print(f"\nPeak memory: {memory[0]:.0f} MB for {len(few)} episodes, {memory[1]:.0f} MB for {len(episodes)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rival", action="store_true", help="make an environment with the others and compare")
    parser.add_argument("--environment", default=".bench/videos", help="folder of that environment")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for name in options.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            measure(Path(scratch), name, options)


if __name__ == "__main__":
    main()
