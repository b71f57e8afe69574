"""Judging as a stage, with a judge behind an endpoint: what it asks again, and what it never writes down."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.trajectory import Frame, Trajectory, Utterance, write_trajectories
from dualvla_core.params import Summary
from dualvla_core.vla_score.config import BootstrapConfig, ScoreConfig, VlmJudgeConfig
from infra.chat_endpoint import JudgeEndpointError
from infra.manifest import ArtifactRef
from tasks.publish_scores import publish_scores
from tasks.score_trajectories import score_trajectories
from tasks.stage import Job, RunContext, StageTask, Work, commit_once, open_artifacts, stage
from tests.infra.judge_server import Reply, judge_server

KEY = "sk-very-secret-1234"
JPEG = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
ATTEMPTS = 4


@stage("played", version=1)
def played(_run: RunContext) -> Work:
    """Four attempts at reaching the ball."""

    def body(job: Job) -> Summary:
        protocol = EvaluationProtocol(**TrialConfig(tasks=("reach",)).model_dump(), simulator="s", harness="h")
        write_trajectories([attempt(seed) for seed in range(ATTEMPTS)], protocol, job.output)
        return {}

    return Work(params={}, inputs={}, body=body)


def attempt(seed: int) -> Trajectory:
    return Trajectory(
        rollout=seed,
        task="reach",
        seed=seed,
        instruction=f"Reach the red ball, attempt {seed}.",
        policy_type="dualvla",
        success=True,
        max_steps=100,
        states=np.zeros((11, 7), np.float32),
        actions=np.zeros((10, 4), np.float32),
        reasoning=(Utterance(0, "Go to the red ball."),),
        frames=(Frame(0, JPEG), Frame(10, JPEG)),
    )


def commit(task: StageTask, run: RunContext, *args: object) -> ArtifactRef:
    return commit_once(task, run, task.declare(run, *args))[0].ref


def test_an_interrupted_judging_goes_on_and_the_key_is_written_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"))
    config = ScoreConfig(judge="vlm", vlm=VlmJudgeConfig(model="judge-1"), bootstrap=BootstrapConfig(samples=100))
    rollouts = commit(played, run)
    with judge_server() as server, caplog.at_level("DEBUG"):
        for name, value in (("URL", server.url), ("KEY", KEY), ("PATIENCE_S", "0"), ("CONCURRENCY", "1")):
            monkeypatch.setenv(f"DUALVLA_JUDGE_{name}", value)
        server.answer = lambda _: Reply() if len(server.requests) <= 2 else Reply(f"{KEY} is down", status=503)
        with pytest.raises(JudgeEndpointError) as ended:
            commit(score_trajectories, run, config, rollouts, "dualvla")
        asked = len(server.requests)
        server.answer = None
        scored = commit(score_trajectories, run, config, rollouts, "dualvla")
        assert len(server.requests) == asked + ATTEMPTS - 2
        assert set(server.keys) == {f"Bearer {KEY}"}
    manifest = open_artifacts(run).manifest(scored)
    assert manifest.summary["coverage"] == 1
    commit(publish_scores, run, config.bootstrap, ("dualvla",), {"scores": (scored,), "rollouts": (rollouts,)})
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not [path for path in written if KEY.encode() in path.read_bytes()]
    assert KEY not in str(ended.value) + caplog.text + manifest.model_dump_json() + run.model_dump_json()
