"""Kinematics over many episodes at once, side by side with what a user would write instead.

    python benchmarks/kinematics.py [--rows 10000000]

All programs compute linear and angular speed, acceleration and jerk of a six-dimensional pose, and the gripper's flips;
their sums must agree. Times are processor seconds, best of the repeats; compare the ratios between machines.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import polars as pl

from dualvla_core.kinematics.derivatives import differentiate, gripper_flips, gripper_states
from dualvla_core.kinematics.rotation import angular_speed, continuous_rpy

FRAMES = 150
RATE = 30.0
POSE = ["x", "y", "z", "roll", "pitch", "yaw"]
Result = tuple[float, float, float, float, int]


def make(rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    lengths = np.full(rows // FRAMES, FRAMES)
    rng = np.random.default_rng(0)
    pose = np.cumsum(rng.normal(0, 0.01, (len(lengths), FRAMES, 6)), axis=1).reshape(-1, 6)
    openness = (np.sin(np.arange(len(pose)) / 17)[:, None] + 1) / 2
    times = np.tile(np.arange(FRAMES) / RATE, len(lengths))
    return pose, openness, times, lengths


def ours(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    smooth = pose.copy()
    smooth[:, 3:] = continuous_rpy(pose[:, 3:], lengths)
    turning = angular_speed(smooth[:, 3:], times, lengths)
    found = differentiate(smooth, times, lengths, groups=(slice(0, 3),), angles=slice(3, 6))
    flips = gripper_flips(gripper_states(openness, lengths, 0.5, 0.0), lengths)
    sums = [float(np.nansum(values)) for values in (found.speed, turning, found.acceleration, found.jerk)]
    return (*sums, int(flips.sum()))


def wrapped(angles: np.ndarray) -> np.ndarray:
    return (angles + np.pi) % (2 * np.pi) - np.pi


def quaternions(rpy: np.ndarray) -> np.ndarray:
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy.T / 2), np.sin(rpy.T / 2)
    return np.stack(
        [
            cr * cp * cy + sr * sp * sy,
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
        ]
    )


def turned(rpy: np.ndarray) -> np.ndarray:
    q = quaternions(rpy)
    apart = [np.sqrt(((q[:, 1:] - sign * q[:, :-1]) ** 2).sum(0)) for sign in (1, -1)]
    return 4 * np.arcsin(np.minimum(*apart) / 2)


def numpy_per_episode(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    linear = angular = acceleration = jerk = 0.0
    flips = start = 0
    for length in lengths:
        rows = slice(start, start + length)
        start += length
        steps, clock = np.diff(pose[rows], axis=0), times[rows]
        steps[:, 3:] = wrapped(steps[:, 3:])
        elapsed = np.diff(clock)
        velocity = steps / elapsed[:, None]
        second = np.diff(velocity, axis=0) / ((clock[2:] - clock[:-2]) / 2)[:, None]
        third = (second[2:] - second[:-2]) / (clock[3:-1] - clock[1:-3])[:, None]
        linear += np.linalg.norm(velocity[:, :3], axis=1).sum()
        angular += (turned(pose[rows, 3:]) / elapsed).sum()
        acceleration += np.linalg.norm(second, axis=1).sum()
        jerk += np.linalg.norm(third, axis=1).sum()
        is_open = openness[rows, 0] > 0.5
        flips += int((is_open[1:] != is_open[:-1]).sum())
    return linear, angular, acceleration, jerk, flips


def numpy_flat_mask(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    within = np.ones(len(pose) - 1, bool)
    within[np.cumsum(lengths)[:-1] - 1] = False
    inner = within[1:] & within[:-1]
    steps, elapsed = np.diff(pose, axis=0), np.diff(times)
    steps[:, 3:] = wrapped(steps[:, 3:])
    with np.errstate(divide="ignore", invalid="ignore"):
        velocity = steps / elapsed[:, None]
        linear = np.sqrt((velocity[:, :3] ** 2).sum(1))
        angular = turned(pose[:, 3:]) / elapsed
        second = np.diff(velocity, axis=0) / ((times[2:] - times[:-2]) / 2)[:, None]
        third = (second[2:] - second[:-2]) / (times[3:-1] - times[1:-3])[:, None]
    acceleration, jerk = np.sqrt((second**2).sum(1)), np.sqrt((third**2).sum(1))
    is_open = openness[:, 0] > 0.5
    flips = (is_open[1:] != is_open[:-1]) & within
    return (
        float(linear[within].sum()),
        float(angular[within].sum()),
        float(acceleration[inner].sum()),
        float(jerk[inner[2:] & inner[1:-1] & inner[:-2]].sum()),
        int(flips.sum()),
    )


def polars_over(pose: np.ndarray, openness: np.ndarray, times: np.ndarray, lengths: np.ndarray) -> Result:
    episode = np.repeat(np.arange(len(lengths)), lengths)
    frame = pl.DataFrame(dict(zip(POSE, pose.T, strict=True))).with_columns(
        *(pl.Series(f"q{part}", values) for part, values in enumerate(quaternions(pose[:, 3:]))),
        time=times,
        open=openness[:, 0] > 0.5,
        episode=episode,
    )
    elapsed = pl.col("time").diff().over("episode")
    steps = [pl.col(name).diff().over("episode") for name in POSE]
    steps[3:] = [(angle + np.pi) % (2 * np.pi) - np.pi for angle in steps[3:]]
    frame = frame.with_columns(*((step / elapsed).alias(f"v{name}") for name, step in zip(POSE, steps, strict=True)))
    around = (pl.col("time").shift(-1) - pl.col("time").shift(1)).over("episode")
    accelerations = [
        (pl.col(f"v{name}").shift(-1) - pl.col(f"v{name}")).over("episode") / (around / 2) for name in POSE
    ]
    frame = frame.with_columns(*(a.alias(f"a{name}") for name, a in zip(POSE, accelerations, strict=True)))
    jerks = [(pl.col(f"a{name}").shift(-1) - pl.col(f"a{name}").shift(1)).over("episode") / around for name in POSE]
    apart = [
        sum((pl.col(f"q{part}") - sign * pl.col(f"q{part}").shift(1)).over("episode") ** 2 for part in range(4)).sqrt()
        for sign in (1, -1)
    ]
    found = frame.select(
        sum(pl.col(f"v{name}") ** 2 for name in POSE[:3]).sqrt().sum(),
        a=(4 * (pl.min_horizontal(apart) / 2).arcsin() / elapsed).sum(),
        b=sum(pl.col(f"a{name}") ** 2 for name in POSE).sqrt().sum(),
        c=sum(jerk**2 for jerk in jerks).sqrt().sum(),
        d=(pl.col("open") != pl.col("open").shift().over("episode")).sum(),
    )
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
