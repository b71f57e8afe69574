"""Kinematics over many episodes at once, side by side with what a user would write instead.

    python benchmarks/kinematics.py [--rows 2000000]

All programs compute speed and acceleration norms of a six-dimensional pose and the gripper's flips; their sums
must agree. Times are processor seconds, best of the repeats; the ratios are what to compare between machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from dualvla_core.kinematics.derivatives import differentiate, gripper_flips, gripper_states

FRAMES = 150
RATE = 30.0
POSE = ["x", "y", "z", "roll", "pitch", "yaw"]
Result = tuple[float, float, int]


def make(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    lengths = np.full(rows // FRAMES, FRAMES)
    rng = np.random.default_rng(0)
    pose = np.cumsum(rng.normal(0, 0.01, (len(lengths), FRAMES, 6)), axis=1).reshape(-1, 6)
    openness = (np.sin(np.arange(len(pose)) / 17)[:, None] + 1) / 2
    times = np.tile(np.arange(FRAMES) / RATE, len(lengths))
    return pose, openness, times, lengths


def ours(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    found = differentiate(pose, times, lengths, groups=(slice(0, 3), slice(3, 6)), angles=slice(3, 6))
    flips = gripper_flips(gripper_states(openness, lengths, 0.5, 0.0), lengths)
    return float(np.nansum(found.speed)), float(np.nansum(found.acceleration)), int(flips.sum())


def numpy_per_episode(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    speed = acceleration = 0.0
    flips = start = 0
    for length in lengths:
        rows = slice(start, start + length)
        start += length
        steps = np.diff(pose[rows], axis=0)
        steps[:, 3:] = (steps[:, 3:] + np.pi) % (2 * np.pi) - np.pi
        elapsed = np.diff(times[rows])
        speed += (np.linalg.norm(steps[:, :3], axis=1) / elapsed).sum()
        speed += (np.linalg.norm(steps[:, 3:], axis=1) / elapsed).sum()
        acceleration += np.linalg.norm(np.diff(steps, axis=0), axis=1).sum()
        is_open = openness[rows, 0] > 0.5
        flips += int((is_open[1:] != is_open[:-1]).sum())
    return speed, acceleration, flips


def numpy_flat_mask(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    within = np.ones(len(pose) - 1, bool)
    within[np.cumsum(lengths)[:-1] - 1] = False
    steps = np.diff(pose, axis=0)
    steps[:, 3:] = (steps[:, 3:] + np.pi) % (2 * np.pi) - np.pi
    with np.errstate(divide="ignore", invalid="ignore"):
        elapsed = np.diff(times)
        linear = np.sqrt((steps[:, :3] ** 2).sum(1)) / elapsed
        angular = np.sqrt((steps[:, 3:] ** 2).sum(1)) / elapsed
    second = np.sqrt((np.diff(steps, axis=0) ** 2).sum(1))
    is_open = openness[:, 0] > 0.5
    flips = (is_open[1:] != is_open[:-1]) & within
    return (
        float(linear[within].sum() + angular[within].sum()),
        float(second[within[1:] & within[:-1]].sum()),
        int(flips.sum()),
    )


def polars_over(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    frame = pl.DataFrame(dict(zip(POSE, pose.T, strict=True))).with_columns(
        time=times, open=openness[:, 0] > 0.5, episode=np.repeat(np.arange(len(lengths)), lengths)
    )
    step = [pl.col(name).diff().over("episode") for name in POSE]
    step[3:] = [(angle + np.pi) % (2 * np.pi) - np.pi for angle in step[3:]]
    frame = frame.with_columns(*(expr.alias(f"d{name}") for name, expr in zip(POSE, step, strict=True)))
    elapsed = pl.col("time").diff().over("episode")
    norm = [sum(pl.col(f"d{name}") ** 2 for name in part).sqrt() for part in (POSE[:3], POSE[3:])]
    second = sum(pl.col(f"d{name}").diff().over("episode") ** 2 for name in POSE).sqrt()
    flip = pl.col("open") != pl.col("open").shift().over("episode")
    found = frame.select((norm[0] / elapsed + norm[1] / elapsed).sum(), a=second.sum(), f=flip.sum())
    return tuple(found.row(0))


def processor_seconds(program: Callable[[], Result], repeats: int) -> tuple[float, Result]:
    best, result = float("inf"), program()
    for _ in range(repeats):
        start = time.process_time()
        result = program()
        best = min(best, time.process_time() - start)
    return best, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    data = make(options.rows)
    programs = {
        "this project": ours,
        "NumPy, whole table with a mask": numpy_flat_mask,
        "NumPy, episode by episode": numpy_per_episode,
        "polars, .over(episode)": polars_over,
    }
    rows = len(data[0])
    reference: Result | None = None
    print(f"kinematics of {rows:,} frames in episodes of {FRAMES}")
    print("| program | M frames per processor second | time relative to this project |\n|---|---|---|")
    baseline = None
    for name, program in programs.items():
        seconds, result = processor_seconds(lambda program=program: program(*data), options.repeats)
        reference = reference or result
        if not np.allclose(result, reference, rtol=1e-9):
            raise SystemExit(f"{name} computed {result}, expected {reference}")
        baseline = baseline or seconds
        print(f"| {name} | {rows / seconds / 1e6:.1f} | {seconds / baseline:.2f} |")


if __name__ == "__main__":
    main()
