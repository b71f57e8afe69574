"""Brings a complete recording into the tables of `dualvla_core.evaluation.tables`."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol, success_rates, summarise
from dualvla_core.evaluation.tables import FRAMES, FRAMES_FILE, ROLLOUTS, ROLLOUTS_FILE, STEPS, STEPS_FILE
from dualvla_core.params import Summary
from infra.harness.recording import Outcome, Recording

_SIMULATOR = ("metaworld", "mujoco")
_HARNESS = "vla-eval"


def protocol_of(config: TrialConfig) -> EvaluationProtocol:
    """The trials of ``config`` as they are played here, with the versions of everything that plays them."""
    return EvaluationProtocol(
        **config.model_dump(include=set(TrialConfig.model_fields)),
        simulator=", ".join(f"{name} {version(name)}" for name in _SIMULATOR),
        harness=f"{_HARNESS} {version(_HARNESS)}",
    )


def import_recording(recording: Recording, policy_type: PolicyType, output: Path) -> Summary:
    """Write rollouts, steps, frames and protocol of a complete ``recording``; return the success rates."""
    config = recording.config
    outcomes = recording.outcomes()
    rollouts = []
    with (
        pq.ParquetWriter(output / STEPS_FILE, STEPS, compression="zstd") as steps,
        pa.ipc.new_file(str(output / FRAMES_FILE), FRAMES) as frames,
    ):
        for number, (task, seed) in enumerate(config.episodes):
            outcome = outcomes[task, seed]
            *rows, last = recording.steps(outcome)
            steps.write_table(pa.Table.from_pylist([_step(number, *each) for each in enumerate(rows)], STEPS))
            frames.write_batch(_frames(number, recording.frames / f"{outcome.episode}.arrow"))
            rollouts.append(
                {
                    "rollout": number,
                    "task": task,
                    "seed": seed,
                    "policy_type": policy_type,
                    "final_state": last["state"],
                    "final_objects": last["objects"],
                    "error": None,
                    **_facts(outcome),
                }
            )
    pq.write_table(pa.Table.from_pylist(rollouts, ROLLOUTS), output / ROLLOUTS_FILE, compression="zstd")
    protocol = protocol_of(config)
    protocol.write(output)
    return summarise(success_rates(protocol, [row["success"] for row in rollouts]))


def _facts(outcome: Outcome) -> dict[str, Any]:
    return {name: outcome.metrics[name] for name in ("success", "steps", "instruction")}


def _step(rollout: int, step: int, fields: dict[str, Any]) -> dict[str, Any]:
    return {"rollout": rollout, "step": step, **fields}


def _frames(rollout: int, path: Path) -> pa.RecordBatch:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        batch = reader.get_batch(0)
        return batch.add_column(0, FRAMES.field("rollout"), pa.array([rollout] * len(batch), pa.int32()))
