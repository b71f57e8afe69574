"""Rollouts written by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import FRAMES, FRAMES_FILE, ROLLOUTS, ROLLOUTS_FILE, STEPS, STEPS_FILE

MakeProtocol = Callable[..., EvaluationProtocol]


@pytest.fixture(scope="session")
def protocol() -> MakeProtocol:
    """A factory of protocols from the trials' fields that differ from the default."""

    def make(simulator: str = "metaworld 1", **trials: Any) -> EvaluationProtocol:
        return EvaluationProtocol(**TrialConfig(**trials).model_dump(), simulator=simulator, harness="vla-eval 1")

    return make


@pytest.fixture
def rollouts(tmp_path: Path, protocol: MakeProtocol) -> Path:
    """Two episodes of ``reach``: one of two steps that succeeds, one of one step that fails."""
    folder = tmp_path / "rollouts"
    folder.mkdir()
    protocol(tasks=("reach",), first_seed=5, episodes_per_task=2, max_steps=9).write(folder)
    write_rollouts(folder, [[0.0, 0.1, 0.2], [1.0, 1.1]])
    return folder


def write_rollouts(folder: Path, episodes: Sequence[Sequence[float]]) -> None:
    """Episodes from the first coordinate of their states; even ones succeed."""
    rows, steps = [], []
    with pa.ipc.new_file(str(folder / FRAMES_FILE), FRAMES) as frames:
        for rollout, states in enumerate(episodes):
            *before, last = ([each, 0.0] for each in states)
            rows.append(
                {
                    "rollout": rollout,
                    "task": "reach",
                    "seed": 5 + rollout,
                    "success": rollout % 2 == 0,
                    "steps": len(before),
                    "instruction": "Reach the red ball.",
                    "policy_type": "generalist",
                    "final_state": last,
                    "final_objects": _ball(last[0]),
                }
            )
            steps += [
                {
                    "rollout": rollout,
                    "step": step,
                    "state": state,
                    "objects": _ball(state[0]),
                    "action": [float(step)],
                    "reasoning": None if step else "Move up.",
                    "replanned": not step,
                }
                for step, state in enumerate(before)
            ]
            moments = [{"rollout": rollout, "step": step, "image": bytes([step])} for step in (0, len(before))]
            frames.write_batch(pa.RecordBatch.from_pylist(moments, FRAMES))
    pq.write_table(pa.Table.from_pylist(rows, ROLLOUTS), folder / ROLLOUTS_FILE)
    pq.write_table(pa.Table.from_pylist(steps, STEPS), folder / STEPS_FILE)


def _ball(height: float) -> list[dict[str, object]]:
    return [{"name": "ball", "position": [0.0, 0.5, height]}]
