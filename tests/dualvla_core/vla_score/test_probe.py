from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.trajectory import Trajectory, write_trajectories
from dualvla_core.vla_score.config import BootstrapConfig, ProbeConfig, ScoreConfig
from dualvla_core.vla_score.experts import clean_folder, jitter_folder
from dualvla_core.vla_score.judge import JudgeIdentity, Judgement, MissingVerdictError, Verdict
from dualvla_core.vla_score.probe import JudgedPair, conclude, probe_judge, tabulate
from dualvla_core.vla_score.rules.judge import RuleJudge

MakeTrajectory = Callable[..., Trajectory]
BOOTSTRAP = BootstrapConfig(samples=200)


def pair(severity: float, fall: int, elsewhere: int = 0, defect: str = "idle prefix") -> JudgedPair:
    grades = {"reasoning": 8, "action": 8, "intention": 8, "alignment": 8, "success": True}
    return JudgedPair(defect, severity, grades, {**grades, "action": 8 - fall, "intention": 8 - elsewhere})


def found(*pairs: JudgedPair) -> tuple[bool, bool, bool]:
    (finding,) = conclude(tabulate(pairs, BOOTSTRAP), ProbeConfig())
    return finding.noticed, finding.graded, finding.spared


def test_cells_by_hand() -> None:
    cells = {cell.column: cell for cell in tabulate([pair(1, 2), pair(1, 4, 1)], BOOTSTRAP)}
    assert (cells["action"].drop, cells["action"].expected, cells["action"].pairs) == (3, True, 2)
    assert (cells["intention"].drop, cells["intention"].expected) == (0.5, False)
    assert cells["success"].drop == 0
    assert cells["action"].interval == pytest.approx((2, 4))


def test_a_missing_verdict_takes_its_pair_out() -> None:
    missing = JudgedPair("idle prefix", 1, pair(1, 0).clean, {"success": False})
    cells = {cell.column: cell for cell in tabulate([pair(1, 2), missing], BOOTSTRAP)}
    assert (cells["action"].drop, cells["action"].pairs, cells["action"].missing) == (2, 1, 1)
    assert cells["success"].drop == 5  # the simulator's word needs no verdict


def test_findings() -> None:
    assert found(pair(0.5, 1), pair(1, 2)) == (True, True, True)
    assert found(pair(0.5, 0), pair(1, 0)) == (False, True, True)
    assert found(pair(0.5, 4), pair(1, 2)) == (True, False, True)
    assert found(pair(0.5, 1, 3), pair(1, 2)) == (True, True, False)
    assert found(pair(0.5, 1), pair(1, 2, -3)) == (True, True, False)  # praise for a defect is as wrong


@pytest.fixture
def recording(trajectory: MakeTrajectory, tmp_path: Path) -> Path:
    """Six hand-drawn experts that reach for the ball and say so, and the same with a trembling hand."""
    folder = tmp_path / "recording"
    said = [
        (0, "subtask: Head for the red ball, to the right.\nmotion: Move right."),
        (20, "subtask: Head for the red ball, to the right.\nmotion: Move right and up."),
        (40, "subtask: Slow down and centre the fingers on the red ball.\nmotion: Move up."),
        (55, "subtask: Slow down and centre the fingers on the red ball.\nmotion: Move right."),
    ]
    moves = np.repeat([[1.0, 0, 0], [0.7, 0, 0.7], [0, 0, 1.0], [1.0, 0, 0]], [20, 20, 15, 15], axis=0) * 0.005
    protocol = EvaluationProtocol(**TrialConfig(tasks=("reach",)).model_dump(), simulator="s", harness="h")
    for path, noise in ((clean_folder(folder), 0.0), (jitter_folder(folder, 1.0), 0.004)):
        path.mkdir(parents=True)
        made = []
        for seed in range(6):
            tremble = np.random.default_rng(seed).normal(0, noise, moves.shape)
            hand = np.concatenate([np.zeros((1, 3)), (moves + tremble).cumsum(axis=0)])
            ball = np.tile(moves.sum(axis=0), (len(hand), 1)) + 0.01
            one = trajectory(hand, said, seed=seed)
            made.append(replace(one, rollout=seed, objects={"gripper": hand, "ball": ball}))
        write_trajectories(made, protocol, path)
    return folder


def test_the_rule_judge_notices_what_is_planted_and_spares_the_rest(recording: Path, tmp_path: Path) -> None:
    config = ScoreConfig(bootstrap=BOOTSTRAP)
    summary = probe_judge((config, ProbeConfig(), (1.0,)), recording, RuleJudge(config.rules), tmp_path)
    assert summary["defects"] == 6
    assert summary["missing verdicts"] == 0
    findings = {each["defect"]: each for each in json.loads((tmp_path / "probe.json").read_text())["findings"]}
    assert all(each["noticed"] for each in findings.values()), findings
    cells = pq.read_table(tmp_path / "probe.parquet").to_pylist()
    assert len(cells) == 5 * (5 * 3 + 1)
    assert all(abs(c["drop"]) <= 1.5 for c in cells if not c["expected"]), [c for c in cells if not c["expected"]]
    page = (tmp_path / "probe.html").read_text()
    assert "planted defects are judged as they should be" in page
    assert "rules (rules" in page


class Kind:
    """A judge that always gives nine, and has nothing to say about seed 0."""

    identity = JudgeIdentity(judge="vlm", model="kind", prompt="p", settings="s")

    def judge(self, trajectory: Trajectory) -> Judgement:
        if trajectory.seed == 0:
            raise MissingVerdictError("Declined.")
        return Judgement(verdicts=(Verdict(action=9, intention=9, reasoning=9, alignment=9, thought="Nice."),))


def test_a_judge_that_flatters_is_found_out(recording: Path, tmp_path: Path) -> None:
    config = ScoreConfig(bootstrap=BOOTSTRAP)
    summary = probe_judge((config, ProbeConfig(), (1.0,)), recording, Kind(), tmp_path, workers=2)
    assert summary["judged as they should be"] == 1  # the failed episode, which is the simulator's word
    assert "jitter" in str(summary["not"])
    assert summary["missing verdicts"] == 1 + 5 * 3 + 1
    assert "The first reason: Declined." in (tmp_path / "probe.html").read_text()
