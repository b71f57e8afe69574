"""Event detectors side by side: frames per processor second of one thread; DDM-Net with and without shared features.

    python benchmarks/events.py [--frames 240] [--side 96]

Frames are drawn, in memory and as fast to get as can be; weights of trained detectors are random, which changes no
time. "Window by window" computes the features of each window's frames anew, as the published program does; both score
the same.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from dualvla_core.events import EventsConfig, create_detector
from dualvla_core.events.backbones import Backbone
from dualvla_core.events.ddm_detector import DDMNetDescription, DDMNetDetector, FeatureScale, sample_windows
from dualvla_core.events.ddm_net import DDMNet
from dualvla_core.events.detector_folder import save_detector
from dualvla_core.events.motion_net import MotionNetDescription, MotionNetDetector
from dualvla_core.events.motion_net import untrained as untrained_network

RATE = 80.0
WINDOWS = 12  # scored window by window; more would only take longer


def draw(frames: int, side: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (side, side, 3), np.uint8)
    images = []
    for index in range(frames):
        image = ground.copy()
        left = index * (side - 16) // frames
        image[side // 3 : side // 3 + 16, left : left + 16] = 200
        images.append(image)
    return images


def untrained(folder: Path) -> DDMNetDetector:
    params = EventsConfig().ddm_net
    backbone = Backbone(params.backbone)
    description = DDMNetDescription(
        ddm_net=params, cameras=(), channels=backbone.channels, backbone=backbone.fingerprint
    )
    modules = {"scale": FeatureScale(backbone.channels), "network": DDMNet(params.network, backbone.channels)}
    save_detector(folder, description, modules)
    return DDMNetDetector(folder)


def untrained_motion_net(folder: Path) -> MotionNetDetector:
    params = EventsConfig().motion_net
    description = MotionNetDescription(motion_net=params, cameras=(), coordinates=4, fps=RATE)
    save_detector(folder, description, {"network": untrained_network(params, 1, 4)})
    return MotionNetDetector(folder)


def window_by_window(detector: DDMNetDetector, images: list[np.ndarray]) -> np.ndarray:
    sampling = sample_windows(detector.params, len(images), RATE)
    scores = []
    for window in sampling.windows[:WINDOWS]:
        levels = detector.scale(detector.backbone.describe(images, sampling.frames[window].tolist()))
        with torch.inference_mode():
            scores.append(detector.network.score([level[None] for level in levels]).item())
    return np.array(scores, np.float32)


def seconds(run: Callable[[], object]) -> float:
    run()
    start = time.process_time()
    run()
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--side", type=int, default=96)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images, clock = draw(options.frames, options.side), np.arange(options.frames) / RATE
    print(f"{'detector':<28} frames per processor second")
    for name in ("optical_flow", "novelty"):
        detector = create_detector(EventsConfig.model_validate({"detector": name}))
        print(f"{name:<28} {options.frames / seconds(lambda found=detector: found.score([images], clock)):.0f}")
    with tempfile.TemporaryDirectory() as folder:
        ddm_net = untrained(Path(folder))
        motion_net = untrained_motion_net(Path(folder))
    print(f"{'motion_net':<28} {options.frames / seconds(lambda: motion_net.score([images], clock)):.0f}")
    shared = ddm_net.score([images], clock)
    naive = window_by_window(ddm_net, images)
    assert np.abs(shared[:WINDOWS] - naive).max() < 1e-4
    print(f"{'ddm_net':<28} {options.frames / seconds(lambda: ddm_net.score([images], clock)):.1f}")
    print(f"{'ddm_net, window by window':<28} {WINDOWS / seconds(lambda: window_by_window(ddm_net, images)):.1f}")


if __name__ == "__main__":
    main()
