"""Rollouts read back as trajectories, for judges and reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.tables import FRAMES, FRAMES_FILE, ROLLOUTS, ROLLOUTS_FILE, STEPS, STEPS_FILE
from dualvla_core.schemas import check_schema


@dataclass(frozen=True)
class Utterance:
    """A text the policy generated, and when."""

    step: int
    text: str


@dataclass(frozen=True)
class Frame:
    """One moment of the episode as a JPEG image."""

    step: int
    image: bytes


@dataclass(frozen=True)
class Trajectory:
    """One played episode of T control steps."""

    rollout: int
    task: str
    seed: int
    instruction: str
    policy_type: PolicyType
    success: bool
    max_steps: int
    """The protocol's limit (control steps)."""
    states: npt.NDArray[np.float32]
    """``[T + 1, S]``, the one after the last step included."""
    actions: npt.NDArray[np.float32]
    """``[T, A]``, as carried out."""
    reasoning: tuple[Utterance, ...]
    frames: tuple[Frame, ...]

    @property
    def steps(self) -> int:
        """Control steps played."""
        return len(self.actions)


def read_rollouts(folder: Path) -> pa.Table:
    """The `ROLLOUTS` table of a folder of rollouts. Raises `ArtifactError` when it is missing or of another layout."""
    return _read(folder / ROLLOUTS_FILE, ROLLOUTS)


def read_trajectories(folder: Path) -> Iterator[Trajectory]:
    """The episodes of a folder of rollouts, one after another. Raises `ArtifactError` when it is not one."""
    limit = read_protocol(folder).max_steps
    rollouts = read_rollouts(folder).to_pylist()
    steps = _read(folder / STEPS_FILE, STEPS)
    start = 0
    with _open_frames(folder / FRAMES_FILE) as frames:
        for row in rollouts:
            played = steps.slice(start, row["steps"])
            start += row["steps"]
            batch = frames.get_batch(row["rollout"])
            if pc.unique(pa.concat_arrays([*played["rollout"].chunks, batch.column("rollout")])).to_pylist() != [
                row["rollout"]
            ]:
                raise ArtifactError(f"The tables of {folder.name!r} are not about the same episodes; run them again.")
            yield _trajectory(row, played, batch, limit)


def _trajectory(row: dict[str, Any], steps: pa.Table, frames: pa.RecordBatch, max_steps: int) -> Trajectory:
    states = [*steps["state"].to_pylist(), row["final_state"]]
    said = zip(steps["step"].to_pylist(), steps["reasoning"].to_pylist(), strict=True)
    return Trajectory(
        rollout=row["rollout"],
        task=row["task"],
        seed=row["seed"],
        instruction=row["instruction"],
        policy_type=cast("PolicyType", row["policy_type"]),
        success=row["success"],
        max_steps=max_steps,
        states=np.array(states, np.float32),
        actions=np.array(steps["action"].to_pylist(), np.float32),
        reasoning=tuple(Utterance(step, text) for step, text in said if text is not None),
        frames=tuple(Frame(frame["step"], frame["image"]) for frame in frames.to_pylist()),
    )


def _read(path: Path, schema: pa.Schema) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path.name} of {path.parent.name!r} cannot be read; run the rollouts again.") from error
    check_schema(table.schema, schema, path.name)
    return table


def _open_frames(path: Path) -> pa.ipc.RecordBatchFileReader:
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path.name} of {path.parent.name!r} cannot be read; run the rollouts again.") from error
    check_schema(reader.schema, FRAMES, path.name)
    return reader
