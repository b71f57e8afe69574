"""From the canonical signals of a segment to velocity, acceleration and gripper transitions per frame."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.kinematics.config import KinematicsConfig
from dualvla_core.kinematics.derivatives import Derivatives, differentiate, gripper_flips, gripper_states
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import KINEMATICS, SIGNALS

KINEMATICS_FILE = "kinematics.parquet"


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
    timestamps = signals["timestamp"].to_numpy()
    in_pose_space = embodiment.has_ee_pose
    arms = _pose_derivatives if in_pose_space else _joint_derivatives
    derivatives = arms(params, signals, timestamps, lengths, embodiment)
    speeds = [
        np.stack([arm.speed[:, group] for arm in derivatives], axis=1) for group in range(2 if in_pose_space else 1)
    ]
    openness = _matrix(signals, "gripper", embodiment.grippers) if embodiment.grippers else None
    is_open, flips = None, np.zeros(len(signals), np.bool_)
    if openness is not None:
        is_open = gripper_states(openness, lengths, params.gripper_threshold, params.gripper_hysteresis)
        flips = gripper_flips(is_open, lengths)
    nothing: NDArray[np.float64] | None = None
    values = {
        "linear_speed": speeds[0] if in_pose_space else nothing,
        "angular_speed": speeds[1] if in_pose_space else nothing,
        "joint_speed": nothing if in_pose_space else speeds[0],
        "acceleration": np.stack([arm.acceleration for arm in derivatives], axis=1),
        "gripper_open": is_open,
    }
    lists = {name: _lists(array, KINEMATICS.field(name).type, len(signals)) for name, array in values.items()}
    keys = {"episode": signals["episode"], "frame_index": signals["frame_index"]}
    return pa.table(keys | lists | {"gripper_flip": flips}, schema=KINEMATICS)


def _pose_derivatives(
    params: KinematicsConfig,
    signals: pa.Table,
    timestamps: NDArray[np.float64],
    lengths: NDArray[np.int64],
    embodiment: Embodiment,
) -> list[Derivatives]:
    """Per arm: speeds in m/s and rad/s (norm of roll, pitch and yaw rates), and Eq. 4's norm of the raw 6-vector."""
    poses = _matrix(signals, "ee_pose", 6 * len(embodiment.arms))
    if poses is None:
        raise ArtifactError(
            f"The segment's end-effector poses of {embodiment.name} are missing; decode its episodes again."
        )
    position, rotation = slice(0, 3), slice(3, 6)
    return [
        differentiate(
            poses[:, 6 * arm : 6 * arm + 6],
            timestamps,
            lengths,
            groups=(position, rotation),
            angles=rotation,
            standardise=params.standardise,
        )
        for arm in range(len(embodiment.arms))
    ]


def _joint_derivatives(
    params: KinematicsConfig,
    signals: pa.Table,
    timestamps: NDArray[np.float64],
    lengths: NDArray[np.int64],
    embodiment: Embodiment,
) -> list[Derivatives]:
    """Per arm: speed and acceleration norm over its joints, taken as recorded (encoders do not wrap)."""
    sizes = embodiment.joints_per_arm
    joints = _matrix(signals, "joints", sum(sizes))
    if joints is None or not all(sizes):
        raise ArtifactError(
            f"The segment has neither an end-effector pose nor the joints of every arm of {embodiment.name} (joints "
            f"per arm: {list(sizes)}); describe one of the two in the embodiment and decode its episodes again."
        )
    return [
        differentiate(
            joints[:, stop - size : stop], timestamps, lengths, groups=(slice(0, size),), standardise=params.standardise
        )
        for size, stop in zip(sizes, accumulate(sizes), strict=True)
    ]


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


def _lists(values: NDArray[np.float64] | NDArray[np.bool_] | None, kind: pa.DataType, length: int) -> pa.Array:
    """An array ``[N, D]`` as a list column; all null for None."""
    if values is None:
        return pa.nulls(length, kind)
    offsets = np.arange(length + 1, dtype=np.int32) * values.shape[1]
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1), kind.value_type), type=kind)
