"""Every recorded flow can be resumed: it is found by name, and given again what it was given."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.config import ProtocolConfig, RolloutConfig
from dualvla_core.vla_score.config import ProbeConfig
from dualvla_core.vla_score.experts import ExpertsConfig
from flows.cli import app
from flows.cli.run import described, given
from flows.cli.runs import RESUMED
from infra.manifest import ArtifactRef
from infra.object_store import open_store
from infra.run_record import RunRecord, find_run, save_run

ROLLOUTS = ArtifactRef(stage="run_rollouts", key="k", digest="d" * 64)
POLICY = ArtifactRef(stage="distill_student", key="p", digest="f" * 64)
SCORES = ArtifactRef(stage="score_trajectories", key="s", digest="e" * 64)


def record_of(flow: str, arguments: dict[str, object]) -> RunRecord:
    return RunRecord(
        id=f"20260101-000000-{flow}-x-0000",
        flow=flow,
        name="x",
        config={},
        arguments=arguments,
        host="h",
        started="2026-01-01T00:00:00+00:00",
    )


@pytest.mark.parametrize("name", RESUMED)
def test_a_flow_is_resumed_as_itself(name: str) -> None:
    assert RESUMED[name].load().name == name


@pytest.mark.parametrize(
    ("flow", "args"),
    [
        ("curate", []),
        ("judge-score", [(ROLLOUTS, SCORES)]),
        ("judge-probe", [ExpertsConfig(episodes_per_task=3), ProbeConfig()]),
        ("judge-agreement", [SCORES, None, ROLLOUTS]),
        ("kb-review", [SCORES, "/people/review.csv"]),
        ("play", [POLICY, "dualvla", ProtocolConfig(trials=(RolloutConfig(tasks=("reach",)), RolloutConfig()))]),
    ],
)
def test_what_a_flow_was_given_comes_back_from_its_record(flow: str, args: list[object], tmp_path: Path) -> None:
    pipeline, store = RESUMED[flow].load(), open_store(str(tmp_path))
    save_run(store, record_of(flow, described(pipeline, args)))
    assert given(pipeline, find_run(store, "last")) == args


def test_what_does_not_fit_is_told() -> None:
    record = record_of("judge-score", {"trajectories": []})
    with pytest.raises(ConfigError, match=f"What {record.id} was given does not fit this version"):
        given(RESUMED["judge-score"].load(), record)


def test_a_flow_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path))
    save_run(open_store(str(tmp_path / "store")), record_of("dance", {}))
    result = CliRunner().invoke(app, ["resume", "last"])
    assert isinstance(result.exception, ConfigError)
    assert "a run of the unknown flow 'dance'" in str(result.exception)
