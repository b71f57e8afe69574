"""What `dualvla play` reads, and how `dualvla results` puts what was played into lines."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import ROLLOUTS, ROLLOUTS_FILE
from dualvla_core.params import Summary
from flows.cli import app
from flows.cli.configuration import shipped
from flows.cli.play import read_protocol
from infra.manifest import ArtifactRef
from infra.settings import Settings
from tasks.stage import Job, RunContext, Work, commit_once, stage


@stage("distill_student", version=1)
def students(_run: RunContext, name: str) -> Work:
    def body(job: Job) -> Summary:
        (job.output / "name").write_text(name)
        return {}

    return Work(params={"name": name}, body=body)


@stage("run_rollouts", version=1)
def played(_run: RunContext, policy: ArtifactRef, trials: RolloutConfig, successes: int) -> Work:
    def body(job: Job) -> Summary:
        fields = {name: getattr(trials, name) for name in EvaluationProtocol.model_fields if hasattr(trials, name)}
        EvaluationProtocol(**fields, simulator="s", harness="h").write(job.output)
        facts = {"steps": 1, "instruction": "", "policy_type": "dualvla", "final_state": [0.0]}
        rows = [
            {"rollout": number, "task": task, "seed": seed, "success": number < successes, **facts}
            for number, (task, seed) in enumerate(trials.episodes)
        ]
        pq.write_table(pa.Table.from_pylist(rows, ROLLOUTS), job.output / ROLLOUTS_FILE)
        return {}

    return Work(params={**trials.model_dump(mode="json")}, inputs={"policy": policy}, body=body)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunContext:
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DUALVLA_STORE", raising=False)
    settings = Settings()
    return RunContext(store_uri=settings.store_uri, cache=str(settings.cache))


def told(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return result.output


def test_the_shipped_protocols_hold_the_papers_trials() -> None:
    assert shipped("protocol") == ["simpler", "simpler-original"]
    original = read_protocol("simpler-original", []).trials
    counted = {task: (each.episodes_per_task, each.max_steps) for each in original for task in each.tasks}
    assert counted == {
        "original_drawer_vm": (216, 113),
        "original_drawer_va": (378, 113),
        "original_pick_can_vm": (300, 80),
        "original_pick_can_va": (675, 80),
        "original_move_near_vm": (240, 80),
        "original_move_near_va": (480, 80),
        "original_spoon_on_towel": (24, 120),
        "original_carrot_on_plate": (24, 120),
        "original_stack_cube": (24, 120),
    }
    assert {(each.benchmark, each.success_mode, each.execute, each.image_size) for each in original} == {
        ("simpler_original", "final", 4, 224)
    }
    assert {each.first_seed for each in original} == {0}
    (widowx,) = read_protocol("simpler", []).trials
    assert (list(widowx.seeds), len(widowx.tasks)) == (list(range(24)), 3)


def test_only_the_wanted_trials() -> None:
    (only,) = read_protocol("simpler-original", ["original_drawer_va"]).trials
    assert only.tasks == ("original_drawer_va",)
    (one, other) = read_protocol("simpler-original", ["original_stack_cube", "original_drawer_vm"]).trials
    assert (one.tasks, other.tasks) == (("original_drawer_vm",), ("original_stack_cube",))
    with pytest.raises(ConfigError, match=r"has no task 'reach'; it has original_drawer_vm, original"):
        read_protocol("simpler-original", ["original_drawer_vm", "reach"])


def test_a_protocol_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("trials:\n  - {tasks: [reach], episodes_per_task: 3}\n")
    assert read_protocol(str(path), []).trials[0].episodes_per_task == 3
    path.write_text("trials:\n  - {tasks: [reach], episodes: 3}\n")
    with pytest.raises(ConfigError, match=r"cannot be read: trials\.0\.episodes: Extra inputs are not permitted"):
        read_protocol(str(path), [])
    path.write_text("trails: []\n")
    with pytest.raises(ConfigError, match=r"cannot be read: trials: Field required"):
        read_protocol(str(path), [])
    path.write_text("trials: [{benchmark: simpler_env, tasks: [reach]}]\n")
    with pytest.raises(ConfigError, match=r"benchmark = simpler_env has no task 'reach'"):
        read_protocol(str(path), [])
    path.write_bytes(b"\xff\xfe\x00trials")
    with pytest.raises(ConfigError, match="is no valid YAML"):
        read_protocol(str(path), [])
    with pytest.raises(
        ConfigError, match=r"no protocol 'none'; expected one of simpler, simpler-original, or the path"
    ):
        read_protocol("none", [])


def test_artifacts_of_one_policy_fill_one_line(run: RunContext) -> None:
    student, _ = commit_once(students, run, students.declare(run, "one"))
    refs = []
    for task, episodes, successes in (("original_drawer_vm", 216, 54), ("original_pick_can_vm", 300, 150)):
        trials = RolloutConfig(
            benchmark="simpler_original", tasks=(task,), first_seed=0, episodes_per_task=episodes, success_mode="final"
        )
        manifest, _ = commit_once(played, run, played.declare(run, student.ref, trials, successes))
        refs.append(str(manifest.ref))
    output = told("results", *refs)
    (line,) = [each for each in output.splitlines() if student.key[:12] in each]
    assert "25.0" in line
    assert "50.0" in line
    assert output.count("simpler_original") >= 1
    twice = told("results", refs[0], refs[0])
    assert twice.count("25.0") >= 2


def test_what_is_no_policy_is_refused(run: RunContext) -> None:
    student, _ = commit_once(students, run, students.declare(run, "one"))
    trials = RolloutConfig(tasks=("reach",), episodes_per_task=1)
    manifest, _ = commit_once(played, run, played.declare(run, student.ref, trials, 1))
    with pytest.raises(ArtifactError, match=r"run_rollouts/.* is no trained policy; give an artifact of train_spec"):
        told("play", str(manifest.ref))
