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
from dualvla_core.evaluation.tables import (
    FRAMES,
    FRAMES_FILE,
    LATENCIES,
    LATENCIES_FILE,
    ROLLOUTS,
    ROLLOUTS_FILE,
    SOLVED,
    SOLVED_FILE,
    STEPS,
    STEPS_FILE,
)
from dualvla_core.params import Summary
from dualvla_core.simulation.suites import SUITES
from infra.harness.interpreter import APART, interpreter_of, versions_in
from infra.harness.recording import Outcome, Recording

_HARNESS = "vla-eval"


def protocol_of(config: TrialConfig) -> EvaluationProtocol:
    """The trials of ``config`` as they are played here, with the versions of everything that plays them."""
    suite, apart = SUITES[config.benchmark], config.benchmark in APART
    return EvaluationProtocol(
        **config.model_dump(include=set(TrialConfig.model_fields)),
        simulator=versions_in(interpreter_of(suite.name), suite.packages) if apart else suite.versions,
        harness=f"{_HARNESS} {version(_HARNESS)}",
        stand_in_assets=suite.has_stand_ins(config.tasks),
    )


def import_recording(
    recording: Recording, protocol: EvaluationProtocol, policy_type: PolicyType, output: Path, timings: Path
) -> Summary:
    """Write rollouts, steps, frames and protocol of a complete ``recording``; return the success rates.

    How long decisions took goes into the folder ``timings``, apart from what another execution would write alike.
    """
    config = recording.config
    outcomes = recording.outcomes()
    rollouts, latencies, solved = [], [], []
    with (
        pq.ParquetWriter(output / STEPS_FILE, STEPS, compression="zstd") as steps,
        pa.ipc.new_file(str(output / FRAMES_FILE), FRAMES) as frames,
    ):
        for number, (task, seed) in enumerate(config.episodes):
            outcome = outcomes[task, seed]
            *rows, last = recording.steps(outcome)
            played = [{"rollout": number, "step": step, **fields} for step, fields in enumerate(rows)]
            latencies += [row for row in played if row["replanned"]]
            if config.success_mode != "early_stop":  # there, the length of an episode says when it was solved
                moments = enumerate((*rows, last))
                solved += [{"rollout": number, "step": step, "solved": row["solved"]} for step, row in moments]
            steps.write_table(pa.Table.from_pylist(played, STEPS))
            frames.write_batch(_frames(number, recording.frames_of(outcome)))
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
    pq.write_table(pa.Table.from_pylist(latencies, LATENCIES), timings / LATENCIES_FILE, compression="zstd")
    if solved:
        pq.write_table(pa.Table.from_pylist(solved, SOLVED), output / SOLVED_FILE, compression="zstd")
    protocol.write(output)
    return summarise(success_rates(protocol, [row["success"] for row in rollouts]))


def _facts(outcome: Outcome) -> dict[str, Any]:
    return {name: outcome.metrics[name] for name in ("success", "steps", "instruction")}


def _frames(rollout: int, path: Path) -> pa.RecordBatch:
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
        batch = reader.get_batch(0)
        return batch.add_column(0, FRAMES.field("rollout"), pa.array([rollout] * len(batch), pa.int32()))
