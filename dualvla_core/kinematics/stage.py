"""From the canonical signals of a segment to velocity, acceleration, jerk and gripper transitions per frame."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.kinematics.config import KinematicsConfig
from dualvla_core.kinematics.derivatives import differentiate, gripper_flips, gripper_states
from dualvla_core.kinematics.rotation import angular_speed, continuous_rpy
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import KINEMATICS, SIGNALS

KINEMATICS_FILE = "kinematics.parquet"

Values: TypeAlias = NDArray[np.float64] | NDArray[np.bool_]


def compute_kinematics(params: KinematicsConfig, segment: Path, output: Path, progress: Progress = silent) -> Summary:
    """Write ``kinematics.parquet`` (`schemas.KINEMATICS`) for every frame of ``segment``, in its order.

    Motion is measured in end-effector pose space where the embodiment has a pose for every arm, else in joint space.

    Raises `ArtifactError` when a segment holds neither.
    """
    opened = Segment(segment)
    columns = ["episode", "frame_index", "timestamp", "ee_pose", "joints", "gripper"]
    parts = [opened.signals(index).select(columns) for index in range(len(opened))]
    signals = pa.Table.from_batches(parts, pa.schema([SIGNALS.field(name) for name in columns])).combine_chunks()
    lengths = opened.episodes["length"].to_numpy().astype(np.int64)
    table = kinematics_of(params, signals, lengths, opened.embodiment)
    pq.write_table(table, output / KINEMATICS_FILE, compression="zstd")
    progress(len(opened), len(opened))
    return {"frames": len(table), "gripper_flips": int(np.count_nonzero(table["gripper_flip"].to_numpy()))}


def kinematics_of(
    params: KinematicsConfig, signals: pa.Table, lengths: NDArray[np.int64], embodiment: Embodiment
) -> pa.Table:
    """The table (`schemas.KINEMATICS`) of episodes of ``lengths`` frames, whose ``signals`` lie end to end."""
    measure = _in_pose_space if embodiment.has_ee_pose else _in_joint_space
    values: dict[str, Values] = {**measure(params, signals, lengths, embodiment)}
    flips = np.zeros(len(signals), np.bool_)
    openness = _matrix(signals, "gripper", embodiment.grippers) if embodiment.grippers else None
    if openness is not None:
        is_open = gripper_states(openness, lengths, params.gripper_threshold, params.gripper_hysteresis)
        values["gripper_open"] = is_open
        flips = gripper_flips(is_open, lengths, both_sides=params.flip_both_sides)
    scalars = {"episode": signals["episode"], "frame_index": signals["frame_index"], "gripper_flip": flips}
    lists = [field for field in KINEMATICS if field.name not in scalars]
    columns = {field.name: _lists(values.get(field.name), field.type, len(signals)) for field in lists}
    return pa.table(scalars | columns, schema=KINEMATICS)


def _in_pose_space(
    params: KinematicsConfig, signals: pa.Table, lengths: NDArray[np.int64], embodiment: Embodiment
) -> dict[str, NDArray[np.float64]]:
    """Per arm ``[N, arms]``: speeds in m/s and rad/s, Eq. 4's norm of the raw 6-vector's second derivative, jerk."""
    poses = _matrix(signals, "ee_pose", 6 * len(embodiment.arms))
    if poses is None:
        raise ArtifactError(
            f"The segment's end-effector poses of {embodiment.name} are missing; decode its episodes again."
        )
    timestamps = signals["timestamp"].to_numpy()
    found, turning = [], []
    for arm in range(len(embodiment.arms)):
        pose = poses[:, 6 * arm : 6 * arm + 6].copy()
        pose[:, 3:] = continuous_rpy(pose[:, 3:], lengths)
        turning.append(angular_speed(pose[:, 3:], timestamps, lengths))
        position, rotation = slice(0, 3), slice(3, 6)
        found.append(
            differentiate(
                pose, timestamps, lengths, groups=(position,), angles=rotation, standardise=params.standardise
            )
        )
    return {
        "linear_speed": np.hstack([arm.speed for arm in found]),
        "angular_speed": np.stack(turning, axis=1),
        "acceleration": np.stack([arm.acceleration for arm in found], axis=1),
        "jerk": np.stack([arm.jerk for arm in found], axis=1),
    }


def _in_joint_space(
    params: KinematicsConfig, signals: pa.Table, lengths: NDArray[np.int64], embodiment: Embodiment
) -> dict[str, NDArray[np.float64]]:
    """Per arm ``[N, arms]``: norms over its joints, taken as recorded (encoders do not wrap)."""
    sizes = embodiment.joints_per_arm
    joints = _matrix(signals, "joints", sum(sizes))
    if joints is None or not all(sizes):
        raise ArtifactError(
            f"The segment has neither an end-effector pose nor the joints of every arm of {embodiment.name} (joints "
            f"per arm: {list(sizes)}); describe one of the two in the embodiment and decode its episodes again."
        )
    found = [
        differentiate(
            joints[:, stop - size : stop],
            signals["timestamp"].to_numpy(),
            lengths,
            groups=(slice(0, size),),
            standardise=params.standardise,
        )
        for size, stop in zip(sizes, accumulate(sizes), strict=True)
    ]
    return {
        "joint_speed": np.hstack([arm.speed for arm in found]),
        "acceleration": np.stack([arm.acceleration for arm in found], axis=1),
        "jerk": np.stack([arm.jerk for arm in found], axis=1),
    }


def _matrix(signals: pa.Table, name: str, width: int) -> NDArray[np.float64] | None:
    """A list column ``[N]`` as an array ``[N, width]``; None where it is null throughout."""
    column = signals[name].combine_chunks()
    if len(column) == 0:
        return np.empty((0, width))
    if column.null_count == len(column):
        return None
    values = column.flatten().to_numpy()
    if column.null_count or values.size != len(column) * width:
        raise ArtifactError(
            f"The segment's column {name!r} does not hold {width} numbers on every frame, as its embodiment says; "
            "decode its episodes again."
        )
    return np.asarray(values).reshape(len(column), width)


def _lists(values: Values | None, kind: pa.DataType, length: int) -> pa.Array:
    """An array ``[N, D]`` as a list column; all null for None."""
    if values is None:
        return pa.nulls(length, kind)
    offsets = np.arange(length + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1), kind.value_type), type=kind)
