from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import FRAMES, ROLLOUTS, STEPS
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.stage import score_trajectories

WriteRollouts = Callable[[PolicyType, Sequence[bool]], Path]


@pytest.fixture
def write_rollouts(tmp_path: Path) -> WriteRollouts:
    """Two episodes of each of two tasks, all a steady motion to the right that is announced as such."""

    def write(policy_type: PolicyType, successes: Sequence[bool]) -> Path:
        trials = TrialConfig(tasks=("reach", "door-open"), episodes_per_task=2)
        folder = tmp_path / "rollouts"
        folder.mkdir()
        EvaluationProtocol(**trials.model_dump(), simulator="s", harness="h").write(folder)
        states = np.zeros((41, 7), np.float32)
        states[:, 0] = np.linspace(0, 0.3, 41)
        rows, steps = [], []
        with pa.ipc.new_file(str(folder / "frames.arrow"), FRAMES) as frames:
            for number, ((task, seed), success) in enumerate(zip(trials.episodes, successes, strict=True)):
                rows.append(
                    {
                        "rollout": number,
                        "task": task,
                        "seed": seed,
                        "success": success,
                        "steps": 40,
                        "instruction": "Move it right.",
                        "policy_type": policy_type,
                        "final_state": states[-1].tolist(),
                    }
                )
                steps += [
                    {
                        "rollout": number,
                        "step": step,
                        "state": states[step].tolist(),
                        "action": [1.0, 0, 0, 0],
                        "reasoning": "Move right." if step == 0 else None,
                        "replanned": step == 0,
                    }
                    for step in range(40)
                ]
                frames.write_batch(pa.RecordBatch.from_pylist([{"rollout": number, "step": 0, "image": b""}], FRAMES))
        pq.write_table(pa.Table.from_pylist(rows, ROLLOUTS), folder / "rollouts.parquet")
        pq.write_table(pa.Table.from_pylist(steps, STEPS), folder / "steps.parquet")
        return folder

    return write


def test_verdicts_and_scores_of_a_reasoning_policy(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True, True, True, False])
    told: list[int] = []
    summary = score_trajectories(
        ScoreConfig(), rollouts, "dualvla", tmp_path, lambda done, total: told.append(total - done)
    )
    # every verdict is 10 for all four dimensions: the score is the success rate
    assert summary == {
        "trajectories": 4,
        "vla_score": 75.0,
        "vla_score_micro": 75.0,
        "reasoning": 100.0,
        "action": 100.0,
        "intention": 100.0,
        "alignment": 100.0,
        "success": 75.0,
        "reach.vla_score": 100.0,
        "door-open.vla_score": 50.0,
    }
    assert told == [3, 2, 1, 0]
    verdicts = pq.read_table(tmp_path / "verdicts.parquet").to_pylist()
    assert [(row["task"], row["success"], row["score"]) for row in verdicts] == [
        ("reach", True, 1.0),
        ("reach", True, 1.0),
        ("door-open", True, 1.0),
        ("door-open", False, 0.0),
    ]
    assert all(row["judge"] == "rule" and row["thought"] for row in verdicts)
    scores = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [(row["task"], row["success"], row["vla_score"]) for row in scores] == [
        ("reach", 100.0, 100.0),
        ("door-open", 50.0, 50.0),
    ]


def test_a_specialist_has_no_reasoning_columns(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    summary = score_trajectories(ScoreConfig(), write_rollouts("specialist", [True] * 4), "specialist", tmp_path)
    assert summary["vla_score"] == 100
    assert "reasoning" not in summary
    verdicts = pq.read_table(tmp_path / "verdicts.parquet")
    assert verdicts["reasoning"].null_count == verdicts["alignment"].null_count == 4
    assert pq.read_table(tmp_path / "scores.parquet")["reasoning"].null_count == 2


def test_rollouts_are_scored_as_what_they_are(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("generalist", [True] * 4)
    with pytest.raises(ArtifactError, match="those of a generalist policy and were to be scored as specialist"):
        score_trajectories(ScoreConfig(), rollouts, "specialist", tmp_path)


def test_scoring_twice_writes_the_same_bytes(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True, False, True, False])
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        score_trajectories(ScoreConfig(), rollouts, "dualvla", folder)
    for name in ("verdicts.parquet", "scores.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
