"""`dualvla play` on a real Prefect server, with the simulator taken out: a run like any other, which can be resumed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.evaluation.protocol import EvaluationProtocol, success_rates, summarise
from dualvla_core.params import Summary
from dualvla_core.pipeline_config import ExecutionConfig
from flows.cli import app
from infra.manifest import ArtifactRef
from infra.run_record import find_run
from infra.settings import Settings
from tasks.run_rollouts import run_rollouts
from tasks.stage import Job, RunContext, Work, commit_once, open_artifacts, stage

PROTOCOL = """
trials:
  - {tasks: [reach, door-open], episodes_per_task: 2, max_steps: 5}
  - {tasks: [drawer-open], episodes_per_task: 4, max_steps: 9}
"""


class PowerCutError(Exception):
    """What ends a run halfway."""


@stage("distill_student", version=1)
def students(_run: RunContext) -> Work:
    def body(job: Job) -> Summary:
        (job.output / "config.json").write_text(json.dumps({"policy_type": "dualvla"}))
        return {}

    return Work(params={}, body=body)


@pytest.fixture
def cut(tmp_path: Path, prefect_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Rollouts that say they succeeded; while this file is there, those of drawer-open never end."""
    declare, flag = run_rollouts.declare, tmp_path / "cut"

    def declared(
        run: RunContext, config: RolloutConfig, policy: ArtifactRef, kind: PolicyType, execution: ExecutionConfig
    ) -> Work:
        def body(job: Job) -> Summary:
            assert (execution.rollout_processes, execution.rollout_batch, kind) == (3, 2, "dualvla")
            if "drawer-open" in config.tasks and flag.exists():
                raise PowerCutError("the lights went out")
            (job.output / "played").touch()
            fields = {name: getattr(config, name) for name in EvaluationProtocol.model_fields if hasattr(config, name)}
            protocol = EvaluationProtocol(**fields, simulator="none", harness="none")
            return summarise(success_rates(protocol, [True] * len(config.episodes)))

        return dataclasses.replace(declare(run, config, policy, kind, execution), body=body)

    monkeypatch.setattr(run_rollouts, "declare", declared)
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_API_URL", prefect_environment["PREFECT_API_URL"])
    monkeypatch.delenv("DUALVLA_STORE", raising=False)
    (tmp_path / "mine.yaml").write_text(PROTOCOL)
    with temporary_settings({PREFECT_API_URL: prefect_environment["PREFECT_API_URL"]}):
        yield flag


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_playing_is_a_run_that_is_listed_and_resumed(cut: Path, tmp_path: Path) -> None:
    settings = Settings()
    here = RunContext(store_uri=settings.store_uri, cache=str(settings.cache))
    student, _ = commit_once(students, here, students.declare(here))
    command = ["play", str(student.ref), "--protocol", str(tmp_path / "mine.yaml"), "--processes", "3", "--batch", "2"]
    planned = invoke(*command, "--dry-run")
    assert "0 hits, 2 misses" in planned.output, planned.output
    cut.touch()
    failed = invoke(*command)
    assert isinstance(failed.exception, PowerCutError)
    store = open_artifacts(here).objects
    record = find_run(store, "last")
    assert (record.flow, record.name, record.state, record.message) == ("play", "mine", "failed", "the lights went out")
    listed = invoke("runs", "ls").output
    assert record.id in listed
    assert "failed" in listed
    cut.unlink()
    resumed = invoke("resume", "last")
    assert resumed.exit_code == 0, resumed.output
    assert "executed 1 of 2, 1 cached" in resumed.output  # the finished trials are not played again
    assert "drawer-open                100.0% of 4 episodes succeed [51.0%, 100.0%]" in resumed.output
    again = find_run(store, "last")
    assert (again.state, again.resumes) == ("completed", record.id)
    assert resumed.output.splitlines()[-1].startswith("run_rollouts/")
    assert "2 hits, 0 misses" in invoke(*command, "--dry-run").output
    with get_client(sync_client=True) as client:
        summaries = [each for each in client.read_artifacts() if each.key == "run-summary"]
    assert any(again.id in str(each.data) for each in summaries)
