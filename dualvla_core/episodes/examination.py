"""What one episode looks like, measured once: the ground on which the checks of `dualvla doctor` stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.reader import EpisodeReader

STILL_SPEED = 0.01
"""Below this speed (m/s, or rad/s in joint space) a frame counts as static."""

_SWITCH = 8  # distinct values of a dimension in an episode; no more make it a switch

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """How a demonstration was driven; the columns stay apart, for what is good depends on the task.

    Lengths are metres where the robot has end-effector poses, else radians over all joints; all arms count.
    """

    episode_index: int
    episode: str
    frames: int
    seconds: float
    path: float
    """How far the hands (or joints) went, m or rad."""
    jerk: float
    """Root mean square of the third derivative of the position, m/s^3 or rad/s^3; NaN below four frames."""
    static_fraction: float
    """Share of frames, in [0, 1], slower than `STILL_SPEED`; 1 for a single frame."""


@dataclass(frozen=True)
class Examined:
    """The measurements of an episode."""

    quality: Quality
    instruction: str
    times: Floats
    """``[T]`` s."""
    largest_angle: float
    """Of all joints and orientations, rad; 0 without."""
    largest_position: float
    """Of all end-effector coordinates, m; 0 without."""
    gripper: Floats | None
    """``[T, G]`` openings before they are clipped to 0 to 1, where the state holds them."""
    action_range: Floats | None
    """``[D]`` largest minus smallest."""
    action_step: Floats | None
    """``[D]`` the largest change between neighbouring frames."""
    usual_step: Floats | None
    """``[D]`` the 99 % quantile of these changes."""
    moves: bool
    """Whether any number of the state changes."""
    frozen_cameras: tuple[str, ...]
    """Cameras whose encoded images are all the same."""


def examine(reader: EpisodeReader, index: int) -> Examined:
    """Measure an episode; images are read and not decoded. Raises `EpisodeError` when it cannot be read."""
    signals = reader.signals(index)
    packets = {camera: list(reader.packets(index, camera)) for camera in reader.cameras}
    digest = episode_digest(signals, packets, reader.embodiment)
    state, action = _matrix(signals, "state"), _matrix(signals, "action")
    steps = None if action is None or len(action) < 2 else _steps(action)
    poses = _matrix(signals, "ee_pose")
    joints = _matrix(signals, "joints")
    angles = [part for part in (joints, None if poses is None else _columns(poses, slice(3, 6))) if part is not None]
    frozen = [name for name, found in packets.items() if len(found) > 1 and len({data for _, data in found}) == 1]
    assert state is not None, "every episode has a state"
    return Examined(
        quality=_quality(index, digest, signals["timestamp"].to_numpy(), poses, joints),
        instruction=signals["instruction"][0].as_py(),
        times=signals["timestamp"].to_numpy(),
        largest_angle=max((float(np.abs(part).max()) for part in angles if part.size), default=0.0),
        largest_position=0.0 if poses is None else float(np.abs(_columns(poses, slice(0, 3))).max()),
        gripper=_openings(state, reader.embodiment),
        action_range=None if action is None else np.ptp(action, axis=0),
        action_step=None if steps is None else steps.max(axis=0),
        usual_step=None if steps is None else np.quantile(steps, 0.99, axis=0),
        moves=bool(np.ptp(state, axis=0).any()),
        frozen_cameras=tuple(frozen),
    )


def _steps(action: Floats) -> Floats:
    """``[T - 1, D]`` sizes of the changes; 0 in dimensions of few values, which are commands that switch."""
    switches = [len(np.unique(column)) <= _SWITCH for column in action.T]
    return np.where(switches, 0.0, np.abs(np.diff(action, axis=0)))


def _quality(index: int, digest: str, times: Floats, poses: Floats | None, joints: Floats | None) -> Quality:
    places = joints if poses is None else _columns(poses, slice(0, 3))
    seconds = float(times[-1] - times[0])
    if places is None or len(times) < 2:
        return Quality(index, digest, len(times), seconds, 0.0, float("nan"), 1.0)
    steps = np.diff(places, axis=0)
    elapsed = np.diff(times)
    speeds = np.linalg.norm(steps, axis=1) / elapsed
    third = np.diff(places, n=3, axis=0) / np.median(elapsed) ** 3
    jerk = float(np.sqrt(np.mean(np.square(np.linalg.norm(third, axis=1))))) if len(third) else float("nan")
    path = float(np.linalg.norm(steps, axis=1).sum())
    return Quality(index, digest, len(times), seconds, path, jerk, float(np.mean(speeds < STILL_SPEED)))


def _columns(poses: Floats, part: slice) -> Floats:
    """Positions or orientations of every arm, ``[T, 3 A]``."""
    return poses.reshape(len(poses), -1, 6)[:, :, part].reshape(len(poses), -1)


def _openings(state: Floats, embodiment: Embodiment) -> Floats | None:
    grippers = [arm.gripper for arm in embodiment.arms if arm.gripper]
    found = [
        (state[:, each.index] - each.closed_value) / (each.open_value - each.closed_value)
        for each in grippers
        if each.column == embodiment.state_column
    ]
    return np.stack(found, axis=1) if found else None


def _matrix(signals: pa.Table, name: str) -> Floats | None:
    column: Any = signals[name].combine_chunks()
    if column.null_count:
        return None
    return np.asarray(column.flatten(), np.float64).reshape(len(column), -1)
