"""Frames per processor second of torchcodec and of `LeRobotDataset` on the videos of one dataset (LeRobot v3.0).

python read_videos.py DATASET EPISODES FRAMES DRAWS
"""

from __future__ import annotations

import json
import random
import sys
import time
import types
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torchcodec.decoders import VideoDecoder

# torchvision, which lerobot imports, registers operators that a build for CUDA lacks beside a torch for CPUs; reading a
# dataset needs none of them
sys.modules["torchvision._meta_registrations"] = types.ModuleType("without operators")
from lerobot.datasets.lerobot_dataset import LeRobotDataset  # noqa: E402

root, (episodes, frames, draws) = Path(sys.argv[1]), map(int, sys.argv[2:5])
torch.set_num_threads(1)
random.seed(0)


def rate(read: Callable[[int], object], places: Iterable[int]) -> float:
    """Places read in a processor second; the first one warms up."""
    places = list(places)
    read(places[0])
    start = time.process_time()
    for place in places:
        read(place)
    return len(places) / (time.process_time() - start)


def opened(file: Path) -> VideoDecoder:
    return VideoDecoder(str(file), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="approximate")


files = sorted(root.rglob("*.mp4"))
decoders = [opened(file) for file in files]
dataset = LeRobotDataset("benchmark/videos", root=root, video_backend="torchcodec")
in_order = range(min(episodes, 10) * frames)  # ten tell the speed, and it is slow
at_random = [random.randrange(episodes * frames) for _ in range(draws)]
found = {
    "torchcodec": [
        rate(lambda number: sum(1 for _ in opened(files[number])), range(episodes)) * frames,
        rate(lambda place: decoders[place // frames][place % frames], at_random),
    ],
    "LeRobotDataset": [rate(dataset.__getitem__, in_order), rate(dataset.__getitem__, at_random)],
}
print(json.dumps(found))
