from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import FRAMES, ROLLOUTS, STEPS
from dualvla_core.evaluation.trajectory import Trajectory, read_trajectories
from dualvla_core.vla_score.config import BootstrapConfig, ScoreConfig
from dualvla_core.vla_score.judge import JudgeIdentity, Judgement, MissingVerdictError, Verdict
from dualvla_core.vla_score.recorded import RecordedJudge
from dualvla_core.vla_score.rules.judge import RuleJudge
from dualvla_core.vla_score.score import CoverageError
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


CONFIG = ScoreConfig(bootstrap=BootstrapConfig(samples=200))
RULES = RuleJudge(CONFIG.rules)


class Forgetful:
    """A judge that has no verdict for the first seed of ``door-open``, and full marks for all else."""

    identity = JudgeIdentity(judge="vlm", model="m", prompt="p", settings="s")

    def judge(self, trajectory: Trajectory) -> Judgement:
        if (trajectory.task, trajectory.seed) == ("door-open", 50000):
            raise MissingVerdictError("The model declined.")
        full = Verdict(action=10, intention=10, reasoning=10, alignment=10, thought="Good.")
        return Judgement(verdicts=(full,), prompt_tokens=7)


def test_verdicts_and_scores_of_a_reasoning_policy(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True, True, True, False])
    told: list[int] = []
    summary = score_trajectories(
        CONFIG, rollouts, "dualvla", RULES, tmp_path, lambda done, total: told.append(total - done)
    )
    # every verdict is 10 for all four dimensions: the score is the success rate
    assert summary == {
        "name": "rule score (proxy)",
        "trajectories": 4,
        "coverage": 1.0,
        "score": 75.0,
        "score_micro": 75.0,
        "score_low": 50.0,
        "score_high": 100.0,
        "reasoning": 100.0,
        "action": 100.0,
        "intention": 100.0,
        "alignment": 100.0,
        "success": 75.0,
        "reach.score": 100.0,
        "door-open.score": 50.0,
    }
    assert told == [3, 2, 1, 0]
    verdicts = pq.read_table(tmp_path / "verdicts.parquet").to_pylist()
    assert [(row["task"], row["success"], row["score"]) for row in verdicts] == [
        ("reach", True, 1.0),
        ("reach", True, 1.0),
        ("door-open", True, 1.0),
        ("door-open", False, 0.0),
    ]
    assert all(row["thought"] and row["evidence"] and '"rules"' in row["judge"] for row in verdicts)
    scores = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [(row["task"], row["success"], row["score"], row["score_low"]) for row in scores] == [
        ("reach", 100.0, 100.0, 100.0),
        ("door-open", 50.0, 50.0, 0.0),
    ]
    written = json.loads((tmp_path / "score.json").read_text())
    assert (written["name"], written["macro"], written["judge"]["judge"]) == ("rule score (proxy)", 75, "rules")


def test_a_specialist_has_no_reasoning_columns(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    summary = score_trajectories(CONFIG, write_rollouts("specialist", [True] * 4), "specialist", RULES, tmp_path)
    assert summary["score"] == 100
    assert "reasoning" not in summary
    verdicts = pq.read_table(tmp_path / "verdicts.parquet")
    assert verdicts["reasoning"].null_count == verdicts["alignment"].null_count == 4
    assert pq.read_table(tmp_path / "scores.parquet")["reasoning"].null_count == 2


def test_a_missing_verdict_is_never_a_zero(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True] * 4)
    with pytest.raises(CoverageError, match=r"3 of 4 trajectories have a verdict.*The model declined"):
        score_trajectories(CONFIG, rollouts, "dualvla", Forgetful(), tmp_path)
    lenient = CONFIG.model_copy(update={"min_coverage": 0.5})
    summary = score_trajectories(lenient, rollouts, "dualvla", Forgetful(), tmp_path)
    assert (summary["coverage"], summary["score"]) == (0.75, 100)
    rows = pq.read_table(tmp_path / "verdicts.parquet").to_pylist()
    assert [row["missing"] for row in rows] == [None, None, "The model declined.", None]
    assert rows[2]["score"] is rows[2]["action"] is None
    scores = pq.read_table(tmp_path / "scores.parquet").to_pylist()
    assert [(row["judged"], row["trajectories"]) for row in scores] == [(2, 2), (1, 2)]
    assert scores[1]["score_low"] is None  # a single verdict tells nothing about the spread


def test_a_score_is_called_what_it_is(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True] * 4)
    lenient = CONFIG.model_copy(update={"min_coverage": 0.5})
    summary = score_trajectories(lenient, rollouts, "dualvla", Forgetful(), tmp_path)
    assert summary["name"] == "VLA Score (unvalidated)"
    assert "Not validated here" in json.loads((tmp_path / "score.json").read_text())["reason"]


def test_recorded_verdicts_are_replayed(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True, True, True, False])
    first, again = tmp_path / "first", tmp_path / "again"
    for folder, judge in ((first, RULES), (again, None)):
        folder.mkdir()
        chosen = judge or RecordedJudge(str(first / "verdicts.parquet"))
        score_trajectories(CONFIG, rollouts, "dualvla", chosen, folder)
    assert pq.read_table(first / "verdicts.parquet").equals(pq.read_table(again / "verdicts.parquet"))
    replay = RecordedJudge(str(first / "verdicts.parquet"))
    unknown = replace(next(read_trajectories(rollouts)), instruction="Something else.")
    with pytest.raises(MissingVerdictError, match="hold none for reach with seed 50000"):
        replay.judge(unknown)


def test_recorded_verdicts_are_one_readable_table(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"score\.recorded"):
        RecordedJudge(None)
    (tmp_path / "torn.parquet").write_bytes(b"torn")
    with pytest.raises(ArtifactError, match="no readable verdict table"):
        RecordedJudge(str(tmp_path / "torn.parquet"))


def test_rollouts_are_scored_as_what_they_are(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("generalist", [True] * 4)
    with pytest.raises(ArtifactError, match="those of a generalist policy and were to be scored as specialist"):
        score_trajectories(CONFIG, rollouts, "specialist", RULES, tmp_path)


def test_scoring_twice_writes_the_same_bytes(write_rollouts: WriteRollouts, tmp_path: Path) -> None:
    rollouts = write_rollouts("dualvla", [True, False, True, False])
    folders = [tmp_path / name for name in ("one", "two")]
    for folder, workers in zip(folders, (1, 3), strict=True):
        folder.mkdir()
        score_trajectories(CONFIG, rollouts, "dualvla", RULES, folder, workers=workers)
    for name in ("verdicts.parquet", "scores.parquet", "score.json"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize(
    ("judge", "unused"), [("rules", "vlm.model"), ("vlm", "rules.still"), ("recorded", "knowledge.k_task")]
)
def test_what_another_judge_is_told_enters_no_key(judge: str, unused: str) -> None:
    section, name = unused.split(".")
    plain = ScoreConfig.model_validate({"judge": judge})
    other = ScoreConfig.model_validate({"judge": judge, section: {name: "2" if name == "model" else 2}})
    assert plain.keyed() == other.keyed()
    assert plain.keyed() != plain.model_copy(update={"min_coverage": 0.1}).keyed()
