"""Rollouts read back as trajectories, for judges and reports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol, read_protocol
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
    objects: Mapping[str, npt.NDArray[np.float32]] = field(default_factory=dict)
    """Ground truth of a simulator, ``gripper`` among it: name to positions ``[T + 1, 3]`` (m); empty without one."""

    @property
    def steps(self) -> int:
        """Control steps played."""
        return len(self.actions)


def read_rollouts(folder: Path) -> pa.Table:
    """The `ROLLOUTS` table of a folder of rollouts. Raises `ArtifactError` when it is missing or of another layout."""
    return read_table(folder / ROLLOUTS_FILE, ROLLOUTS)


def read_trajectories(folder: Path) -> Iterator[Trajectory]:
    """The episodes of a folder of rollouts, one after another. Raises `ArtifactError` when it is not one."""
    limit = read_protocol(folder).max_steps
    rollouts = read_rollouts(folder).to_pylist()
    steps = read_table(folder / STEPS_FILE, STEPS)
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


def first_images(folder: Path) -> list[bytes]:
    """How each episode began, as JPEG. Raises `ArtifactError` when the images cannot be read."""
    with _open_frames(folder / FRAMES_FILE) as frames:
        return [frames.get_batch(number)["image"][0].as_py() for number in range(frames.num_record_batches)]


def silent_rollouts(folder: Path) -> set[int]:
    """The episodes in which not a word was said. Raises `ArtifactError` when the steps cannot be read."""
    steps = read_table(folder / STEPS_FILE, STEPS)
    spoken = steps.filter(pc.is_valid(steps["reasoning"]))
    return set(steps["rollout"].to_pylist()) - set(spoken["rollout"].to_pylist())


def write_trajectories(trajectories: Iterable[Trajectory], protocol: EvaluationProtocol, folder: Path) -> None:
    """Write episodes that no harness played as a folder of rollouts, in the order of their ``rollout`` numbers."""
    rollouts: list[dict[str, Any]] = []
    with (
        pq.ParquetWriter(folder / STEPS_FILE, STEPS, compression="zstd") as steps,
        pa.ipc.new_file(str(folder / FRAMES_FILE), FRAMES) as frames,
    ):
        for each in trajectories:
            steps.write_table(pa.Table.from_pylist(_step_rows(each), STEPS))
            moments = [{"rollout": each.rollout, "step": frame.step, "image": frame.image} for frame in each.frames]
            frames.write_batch(pa.RecordBatch.from_pylist(moments, FRAMES))
            named = ("rollout", "task", "seed", "success", "steps", "instruction", "policy_type")
            final = {"final_state": each.states[-1].tolist(), "final_objects": _moment(each, each.steps)}
            rollouts.append({**{name: getattr(each, name) for name in named}, **final})
    pq.write_table(pa.Table.from_pylist(rollouts, ROLLOUTS), folder / ROLLOUTS_FILE, compression="zstd")
    protocol.write(folder)


def _step_rows(trajectory: Trajectory) -> list[dict[str, Any]]:
    said = {each.step: each.text for each in trajectory.reasoning}
    return [
        {
            "rollout": trajectory.rollout,
            "step": step,
            "state": trajectory.states[step].tolist(),
            "objects": _moment(trajectory, step),
            "action": trajectory.actions[step].tolist(),
            "reasoning": said.get(step),
            "replanned": step in said,
        }
        for step in range(trajectory.steps)
    ]


def _moment(trajectory: Trajectory, step: int) -> list[dict[str, Any]] | None:
    moment = [{"name": name, "position": track[step].tolist()} for name, track in trajectory.objects.items()]
    return moment or None


def _trajectory(row: dict[str, Any], steps: pa.Table, frames: pa.RecordBatch, max_steps: int) -> Trajectory:
    states = [*steps["state"].to_pylist(), row["final_state"]]
    moments = [*steps["objects"].to_pylist(), row["final_objects"]]
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
        objects=_tracks(moments),
    )


def _tracks(moments: Sequence[list[dict[str, Any]] | None]) -> dict[str, npt.NDArray[np.float32]]:
    """The positions of each object over the moments; none where one of them tells nothing."""
    known = [{each["name"]: each["position"] for each in moment} for moment in moments if moment is not None]
    if len(known) < len(moments):
        return {}
    return {name: np.array([moment[name] for moment in known], np.float32) for name in known[0]}


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """A table of a folder of rollouts. Raises `ArtifactError` when it is missing or of another layout."""
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
