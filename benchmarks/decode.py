"""Decoding demonstrations and reading their frames back, side by side with what a user would write instead.

    python benchmarks/decode.py [--episodes 50] [--frames 150] [--rival]

Synthetic demonstrations with texture, motion and noise (H.264, a key frame every 30) are decoded to the Arrow artifact,
and by a bare PyAV loop with JPEG encoding; then frames are read back in order and at random. With ``--rival`` the
reading is compared with torchcodec on the same videos, in an environment of its own that is made for the purpose
(torchcodec needs FFmpeg's shared libraries on the machine). Times are processor seconds where one process works and
wall seconds where two do; the ratios are what to compare between machines.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
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

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import decode_episodes
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.reader import open_dataset
from dualvla_core.episodes.segment import Segment

CAMERA = "observation.images.front"
FPS = 30
SIZES = {"256x256": (256, 256), "640x480": (480, 640)}
RIVAL = r"""
import glob, json, random, sys, time
from torchcodec.decoders import VideoDecoder
files = sorted(glob.glob(sys.argv[1] + "/videos/**/*.mp4", recursive=True))
frames, draws = int(sys.argv[2]), int(sys.argv[3])
def opened(file): return VideoDecoder(file, dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")
opened(files[0])[0]
start = time.process_time()
count = sum(1 for file in files for _ in opened(file))
sequential = count / (time.process_time() - start)
random.seed(0)
decoders = [opened(file) for file in files]
start = time.process_time()
for _ in range(draws): decoders[random.randrange(len(files))][random.randrange(frames)]
print(json.dumps({"sequential": sequential, "random": draws / (time.process_time() - start)}))
"""


def write_dataset(root: Path, episodes: int, frames: int, size: tuple[int, int], seed: int = 0) -> Path:
    """LeRobot v2.1; five different videos, repeated: it is their size and number that counts."""
    height, width = size
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.integers(0, 256, (height, 2 * width, 3), np.uint8), (0, 0), 3)
    (root / "meta").mkdir(parents=True)
    (root / "data" / "chunk-000").mkdir(parents=True)
    videos = root / "videos" / "chunk-000" / CAMERA
    videos.mkdir(parents=True)
    for number in range(episodes):
        video = videos / f"episode_{number:06d}.mp4"
        if number < 5:
            _encode(video, texture, rng, frames, size)
        else:
            shutil.copyfile(videos / f"episode_{number % 5:06d}.mp4", video)
        state = np.cumsum(rng.normal(0, 0.01, (frames, 7)), axis=0).astype(np.float32)
        columns = {
            "observation.state": pa.array(list(state)),
            "action": pa.array(list(state)),
            "timestamp": (np.arange(frames) / FPS).astype(np.float32),
            "frame_index": np.arange(frames),
            "episode_index": np.full(frames, number),
            "task_index": np.zeros(frames, np.int64),
        }
        pq.write_table(pa.table(columns), root / "data" / "chunk-000" / f"episode_{number:06d}.parquet")
    features = {
        "observation.state": {"dtype": "float32", "shape": [7]},
        "action": {"dtype": "float32", "shape": [7]},
        CAMERA: {"dtype": "video", "shape": [height, width, 3]},
    }
    info = {"codebase_version": "v2.1", "robot_type": "metaworld_sawyer", "fps": FPS, "features": features}
    (root / "meta" / "info.json").write_text(json.dumps(info))
    (root / "meta" / "tasks.jsonl").write_text('{"task_index": 0, "task": "move"}\n')
    lines = [json.dumps({"episode_index": n, "tasks": ["move"], "length": frames}) + "\n" for n in range(episodes)]
    (root / "meta" / "episodes.jsonl").write_text("".join(lines))
    return root


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


def bare_loop(dataset: Path) -> int:
    """Decode every video on one thread and encode every frame; nothing is kept."""
    count = 0
    for video in sorted(dataset.rglob("*.mp4")):
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


def two_processes(dataset: Path, episodes: dict[str, int], output: Path) -> None:
    names = list(episodes)
    halves = [{name: episodes[name] for name in names[part::2]} for part in range(2)]
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(ours, dataset, half, output / str(number)) for number, half in enumerate(halves)]
        for each in running:
            each.result()


def read_back(output: Path, draws: int) -> dict[str, float]:
    segment = Segment(output)
    start = time.process_time()
    count = sum(1 for position in range(len(segment)) for _ in segment.frames(position, CAMERA))
    sequential = count / (time.process_time() - start)
    rng = np.random.default_rng(0)
    places = rng.integers(0, [len(segment), count // len(segment)], (draws, 2)).tolist()
    start = time.process_time()
    for position, index in places:
        segment.frame(position, CAMERA, index)
    return {"sequential": sequential, "random": draws / (time.process_time() - start)}


def rival_environment(folder: Path) -> Path:
    """An environment of its own with torchcodec and the CPU build of torch it fits; returns its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        index = os.environ.get("TORCH_INDEX", "https://download.pytorch.org/whl/cpu")
        pip = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*pip, "--index-url", index, "torch==2.13.0+cpu"], check=True)
        subprocess.run([*pip, "torchcodec==0.13.*", "numpy"], check=True)
    return python


def rival_speeds(python: Path, dataset: Path, frames: int, draws: int) -> dict[str, float]:
    command = [python, "-c", RIVAL, str(dataset), str(frames), str(draws)]
    found = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if found.returncode:
        raise SystemExit(f"torchcodec does not run here: {found.stderr.strip().splitlines()[-1]}")
    return json.loads(found.stdout)


def measure(scratch: Path, name: str, options: argparse.Namespace) -> None:
    dataset = write_dataset(scratch / name, options.episodes, options.frames, SIZES[name])
    frames = options.episodes * options.frames
    episodes, output = identities(dataset), scratch / "out"
    # first of all: a new process counts what its parent held when it began
    few = dict(list(episodes.items())[: max(1, options.episodes // 5)])
    memory = [peak_memory(dataset, part, scratch / "memory") for part in (few, episodes)]
    bare, _ = processor_seconds(lambda: bare_loop(dataset))
    used, wall = processor_seconds(lambda: ours(dataset, episodes, output))
    back = read_back(output, options.draws)
    _, both = processor_seconds(lambda: two_processes(dataset, episodes, scratch / "two"))
    print(f"\n### {name}, {options.episodes} episodes of {options.frames} frames\n")
    print("| | frames per processor second | ratio |\n|---|---|---|")
    print(f"| bare PyAV loop with JPEG encoding | {frames / bare:.0f} | 1.00 |")
    print(f"| the whole stage | {frames / used:.0f} | {bare / used:.2f} |")
    print(f"| the same on 2 processes (wall: {wall:.0f} s, then {both:.0f} s) | | {wall / both:.2f} |")
    print(f"| reading back in order | {back['sequential']:.0f} | |")
    print(f"| reading back at random | {back['random']:.0f} | |")
    if options.rival:
        rival = rival_speeds(rival_environment(Path(options.environment)), dataset, options.frames, options.draws)
        for order, way in (("sequential", "in order"), ("random", "at random")):
            print(
                f"| torchcodec, {way} | {rival[order]:.0f} | ours is {back[order] / rival[order]:.1f} times as fast |"
            )
    print(f"\nPeak memory: {memory[0]:.0f} MB for {len(few)} episodes, {memory[1]:.0f} MB for {len(episodes)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rival", action="store_true", help="make an environment with torchcodec and compare")
    parser.add_argument("--environment", default=".bench/torchcodec", help="folder of that environment")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    for name in options.sizes:
        with tempfile.TemporaryDirectory() as scratch:
            measure(Path(scratch), name, options)


if __name__ == "__main__":
    main()
