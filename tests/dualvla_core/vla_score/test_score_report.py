from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.trajectory import Frame, Trajectory, read_trajectories, write_trajectories
from dualvla_core.vla_score.config import BootstrapConfig, RuleJudgeConfig, ScoreConfig
from dualvla_core.vla_score.rules.judge import RuleJudge
from dualvla_core.vla_score.score_report import ScoredPolicy, score_report, score_rows, signatures
from dualvla_core.vla_score.stage import score_trajectories

MakeTrajectory = Callable[..., Trajectory]
CONFIG = ScoreConfig(bootstrap=BootstrapConfig(samples=200))
JPEG = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes()


@pytest.fixture
def policies(trajectory: MakeTrajectory, tmp_path: Path) -> list[ScoredPolicy]:
    """A generalist that fails now and then and does not do what it says, and a specialist."""
    made = []
    protocol = EvaluationProtocol(**TrialConfig(tasks=("reach",)).model_dump(), simulator="s", harness="h")
    path = np.outer(np.linspace(0, 0.3, 41), [1, 0, 0])
    for kind, said in (("generalist", [(0, "Move left. <script>alert(1)</script>.")]), ("specialist", [])):
        rollouts, scores = tmp_path / f"{kind}-rollouts", tmp_path / f"{kind}-scores"
        rollouts.mkdir()
        scores.mkdir()
        attempts = [
            replace(
                trajectory(path, said, seed=seed, policy_type=kind, success=seed != 1),
                rollout=seed,
                frames=(Frame(0, JPEG), Frame(40, JPEG)),
            )
            for seed in range(3)
        ]
        write_trajectories(attempts, protocol, rollouts)
        score_trajectories(CONFIG, rollouts, kind, RuleJudge(CONFIG.rules), scores)
        made.append(ScoredPolicy(kind, scores, rollouts))
    return made


def test_the_report_leads_from_the_score_to_every_attempt(policies: list[ScoredPolicy], tmp_path: Path) -> None:
    output = tmp_path / "report"
    output.mkdir()
    summary = score_report(policies, CONFIG.bootstrap, output)
    assert summary["measure"] == "rule score (proxy)"
    page = (output / "scores.html").read_text()
    assert "rule score (proxy)" in page
    assert "must not be set beside a VLA Score" in page
    assert "nothing above can be compared with these numbers" in page
    for number in range(3):
        assert f"attempts/generalist-{number}.html" in page
    attempt = (output / "attempts" / "generalist-1.html").read_text()
    assert "a failed episode" in attempt
    assert "&lt;script&gt;alert(1)" in attempt
    assert "<script>alert" not in attempt
    assert attempt.count("data:image/jpeg") == 2
    assert "jerk" in attempt


def test_the_numbers_are_written_as_json(policies: list[ScoredPolicy], tmp_path: Path) -> None:
    output = tmp_path / "report"
    output.mkdir()
    score_report(policies, CONFIG.bootstrap, output)
    numbers = json.loads((output / "scores.json").read_text())
    assert [each["name"] for each in numbers["policies"]] == ["generalist", "specialist"]
    assert numbers["policies"][0]["signatures"] == {"does not do what it says": 3}
    assert numbers["policies"][1]["means"]["reasoning"] is None
    (comparison,) = numbers["comparisons"]
    assert (comparison["first"], comparison["second"], comparison["pairs"]) == ("generalist", "specialist", 3)
    assert comparison["macro"][0] < 0


def test_signatures_by_hand() -> None:
    verdict = {"missing": None, "reasoning": 8, "action": 3, "alignment": 9}
    assert signatures(verdict) == ["talks better than it acts"]
    assert signatures({**verdict, "action": 8, "alignment": 4}) == ["does not do what it says"]
    assert signatures({**verdict, "reasoning": 6}) == []
    assert signatures({**verdict, "reasoning": None}) == []
    assert signatures({**verdict, "missing": "declined"}) == []
    # silence is no broken promise, and a specialist owes no words
    assert signatures({**verdict, "reasoning": 0, "alignment": 0}, silent=True) == ["says nothing"]
    assert signatures({**verdict, "reasoning": None}, silent=True) == []


def test_silence_is_told_apart_from_rare_words(trajectory: MakeTrajectory, tmp_path: Path) -> None:
    """Two attempts alike, one with a single true text, one without any."""
    rollouts, scores, output = (tmp_path / name for name in ("rollouts", "scores", "report"))
    for folder in (rollouts, scores, output):
        folder.mkdir()
    path = np.outer(np.linspace(0, 0.3, 41), [1, 0, 0])
    said = ([(0, "Go to the red ball.\nMove right.")], [])
    made = [
        replace(
            trajectory(path, words, seed=n, policy_type="dualvla", success=True), rollout=n, frames=(Frame(0, JPEG),)
        )
        for n, words in enumerate(said)
    ]
    protocol = EvaluationProtocol(**TrialConfig(tasks=("reach",)).model_dump(), simulator="s", harness="h")
    write_trajectories(made, protocol, rollouts)
    score_trajectories(CONFIG, rollouts, "dualvla", RuleJudge(CONFIG.rules), scores)
    score_report([ScoredPolicy("student", scores, rollouts)], CONFIG.bootstrap, output)
    numbers = json.loads((output / "scores.json").read_text())
    (policy,) = numbers["policies"]
    assert policy["signatures"] == {"says nothing": 1}
    assert policy["score"]["macro"] == pytest.approx(100 * policy["spoken"] / 2)
    assert policy["spoken"] > 0.5
    assert "says nothing at all in 1 of 2 attempts" in (output / "scores.html").read_text()
    (row,) = score_rows(numbers)
    assert (row["policy"], row["attempts without a word"], row["success"]) == ("student", 1, 100.0)
    assert row["rule score (proxy)"] == round(policy["score"]["macro"], 1)


def test_scores_of_different_judges_are_not_set_side_by_side(policies: list[ScoredPolicy], tmp_path: Path) -> None:
    other = RuleJudge(RuleJudgeConfig(still=0.01))
    score_trajectories(CONFIG, policies[1].rollouts, "specialist", other, policies[1].scores)
    with pytest.raises(ArtifactError, match="from 2 judges"):
        score_report(policies, CONFIG.bootstrap, tmp_path)


def test_scores_of_other_rollouts_are_refused(policies: list[ScoredPolicy], tmp_path: Path) -> None:
    mixed = ScoredPolicy("x", policies[0].scores, policies[1].rollouts)
    verdicts = tmp_path / "mixed"
    verdicts.mkdir()
    reordered = list(reversed(list(read_trajectories(policies[0].rollouts))))
    protocol = EvaluationProtocol(**TrialConfig(tasks=("reach",)).model_dump(), simulator="s", harness="h")
    renumbered = [replace(each, rollout=number) for number, each in enumerate(reordered)]
    write_trajectories(renumbered, protocol, verdicts)
    with pytest.raises(ArtifactError, match="not those of its rollouts"):
        score_report([replace(mixed, rollouts=verdicts)], CONFIG.bootstrap, tmp_path)
