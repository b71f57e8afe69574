"""From the columns of any dataset to the canonical episode (`schemas.SIGNALS`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dualvla_core.episodes.embodiment import Arm, Embodiment, LengthUnit, SignalSlice
from dualvla_core.episodes.rotations import to_rpy
from dualvla_core.errors import EpisodeError
from dualvla_core.schemas import SIGNALS

TIME_STEP_S = 1e-4
"""Times are told apart to this many seconds; it is also LeRobot's tolerance for a regular clock."""

_METRES: dict[LengthUnit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}

Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class EpisodeFacts:
    """What a dataset says about one episode in words; ``initial_condition`` is None where it says nothing.

    The source is where the episode comes from, as annotation files name it: a file and a number or name within.
    """

    length: int
    task: str
    instruction: str
    initial_condition: str | None
    source_file: str
    source_id: str


def matrix(column: pa.ChunkedArray, name: str) -> Float64s:
    """A numeric column as ``[T, D]``; plain, list and fixed-size-list columns alike.

    Raises `EpisodeError` when rows are missing, ragged, not numbers, or not finite.
    """
    array = column.combine_chunks()
    if array.null_count:
        raise EpisodeError(f"The column {name!r} has {array.null_count} rows without a value.", about="values")
    length = len(array)
    while isinstance(array, pa.ListArray | pa.LargeListArray | pa.FixedSizeListArray):
        if not isinstance(array, pa.FixedSizeListArray) and len(set(array.value_lengths().to_pylist())) > 1:
            raise EpisodeError(f"The column {name!r} has rows of different lengths.", about="values")
        array = array.flatten()
    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type) or pa.types.is_boolean(array.type)):
        raise EpisodeError(f"The column {name!r} holds {array.type}, expected numbers.", about="values")
    values: Float64s = array.to_numpy(zero_copy_only=False).astype(np.float64).reshape(length, -1)
    bad = np.flatnonzero(~(np.abs(values) <= np.finfo(np.float32).max).all(axis=1))  # NaN compares false
    if bad.size:
        raise EpisodeError(
            f"The column {name!r} holds NaN or infinity in {bad.size} rows, first in row {bad[0]}.", about="values"
        )
    return values


def relative_times(recorded: Float64s | None, fps: float, length: int) -> Float64s:
    """Seconds since the first frame, ``[T]``: exactly ``i / fps`` unless the recorded clock deviates from it."""
    regular: Float64s = np.arange(length) / fps
    if recorded is None:
        return regular
    if not np.isfinite(recorded).all():
        raise EpisodeError("The timestamps hold NaN or infinity.", about="time")
    relative: Float64s = recorded - recorded[0]
    if np.abs(relative - regular).max() <= TIME_STEP_S:
        return regular
    relative = np.round(relative / TIME_STEP_S) * TIME_STEP_S
    if (np.diff(relative) <= 0).any():
        row = int(np.argmax(np.diff(relative) <= 0))
        raise EpisodeError(f"The timestamps do not increase from row {row} on.", about="time")
    return relative


def canonical_signals(
    rows: pa.Table, embodiment: Embodiment, times: Float64s, instructions: Sequence[str], reasoning: pa.Array | None
) -> pa.Table:
    """The canonical episode of ``rows`` (T frames in order), its ``episode`` column empty until it is identified.

    Everything is read through float32, so that two copies of a demonstration that differ in stored precision agree.
    Raises `EpisodeError` for an empty episode and for values that cannot be used.
    """
    length = rows.num_rows
    if length == 0:
        raise EpisodeError("The episode has no frames.", about="counts")
    missing = [name for name in embodiment.columns if name not in rows.column_names]
    if missing:
        raise EpisodeError(f"The data file lacks the column {missing[0]!r}; it has {rows.column_names}.")
    acts = all(name in rows.column_names for name in embodiment.action_columns)
    wanted = dict.fromkeys([*embodiment.columns, *(embodiment.action_columns if acts else ())])
    values = {name: matrix(rows[name], name).astype(np.float32) for name in wanted}
    reason = embodiment.misfit({name: array.shape[1] for name, array in values.items()})
    if reason:
        raise EpisodeError(f"The episode does not fit the embodiment {embodiment.name!r}: {reason}.")
    for name, parts in embodiment.joined.items():
        if all(part.column in values for part in parts):
            values[name] = np.hstack([values[part.column][:, part.start : part.stop] for part in parts])
    columns = {
        "episode": [""] * length,
        "frame_index": np.arange(length, dtype=np.int32),
        "timestamp": times,
        "state": values[embodiment.state_column],
        "action": values.get(embodiment.action_column),
        "ee_pose": _ee_pose(values, embodiment),
        "joints": _joints(values, embodiment.arms),
        "gripper": _gripper(values, embodiment.arms),
        "instruction": list(instructions),
        "reasoning": reasoning,
    }
    return pa.Table.from_arrays([_column(columns[field.name], field, length) for field in SIGNALS], schema=SIGNALS)


def _column(values: object, field: pa.Field, length: int) -> pa.Array:
    if values is None:
        return pa.nulls(length, field.type)
    if isinstance(values, np.ndarray) and values.ndim == 2:
        offsets = np.arange(length + 1, dtype=np.int32) * values.shape[1]
        flat = pa.array(np.ascontiguousarray(values).reshape(-1), field.type.value_type)
        return pa.ListArray.from_arrays(offsets, flat, type=field.type)
    return values if isinstance(values, pa.Array) else pa.array(values, field.type)


def _part(values: dict[str, Float32s], part: SignalSlice) -> Float64s:
    return values[part.column][:, part.start : part.stop].astype(np.float64)


def _ee_pose(values: dict[str, Float32s], embodiment: Embodiment) -> Float64s | None:
    if not embodiment.has_ee_pose:
        return None
    parts = []
    for pose in (arm.ee_pose for arm in embodiment.arms if arm.ee_pose):
        position = _part(values, pose.position)
        rotation = _part(values, pose.rotation) if pose.rotation else np.zeros((len(position), 0))
        if pose.angle_unit == "deg" and pose.rotation_format in ("euler_xyz", "axis_angle"):
            rotation = np.radians(rotation)
        if pose.rotation_format.startswith("quaternion") and not rotation.any(axis=1).all():
            raise EpisodeError(f"The orientation in {pose.position.column!r} has a quaternion of length 0.", "values")
        parts += [position * _METRES[pose.position_unit], to_rpy(rotation, pose.rotation_format)]
    return np.hstack(parts)


def _joints(values: dict[str, Float32s], arms: Sequence[Arm]) -> Float64s | None:
    parts = [
        np.radians(_part(values, arm.joints)) if arm.joint_unit == "deg" else _part(values, arm.joints)
        for arm in arms
        if arm.joints
    ]
    return np.hstack(parts) if parts else None


def _gripper(values: dict[str, Float32s], arms: Sequence[Arm]) -> Float32s | None:
    parts = []
    for gripper in (arm.gripper for arm in arms if arm.gripper):
        raw = values[gripper.column][:, gripper.index].astype(np.float64)
        parts.append((raw - gripper.closed_value) / (gripper.open_value - gripper.closed_value))
    return np.clip(np.stack(parts, axis=1), 0, 1).astype(np.float32) if parts else None
