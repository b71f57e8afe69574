"""Training stages as they run: processes under torchrun, killed and continued, in one machine's object store."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.params import Summary
from dualvla_core.training.checkpoints import Checkpoints
from dualvla_core.training.config import TrainingConfig, TrainingExecution
from dualvla_core.training.errors import TrainingError
from infra.manifest import ArtifactRef, Manifest
from infra.worker_process import WorkerCrashedError
from tasks.cache_teacher_outputs import cache_teacher_outputs
from tasks.distill_student import distill_student
from tasks.stage import Job, RunContext, Work, commit_once, open_artifacts, stage
from tasks.train_generalist import train_generalist
from tasks.train_specialist import train_specialist
from tasks.training_checkpoints import complete_checkpoints
from tasks.training_job import TrainingData
from tests.dualvla_core.training.tiny_data import MODEL, TRAINING, write_data

SHARED = TRAINING.model_copy(update={"zero_stage": 2})
LONG = SHARED.model_copy(update={"steps": 150, "zero_stage": 0})


@stage("given", version=1)
def given(_run: RunContext, folder: str) -> Work:
    """A folder of test data as an artifact."""

    def body(job: Job) -> Summary:
        shutil.copytree(folder, job.output, dirs_exist_ok=True)
        return {}

    return Work(params={"folder": folder}, body=body)


class Setting:
    """A store with committed data, and the specialist stage over it."""

    def __init__(self, folder: Path, *, broken: bool = False) -> None:
        self.run = RunContext(store_uri=str(folder / "store"), cache=str(folder / "cache"))
        self.inputs = write_data(folder / "data", broken=broken)
        assert self.inputs.multimodal is not None
        assert self.inputs.statistics is not None
        self.statistics = self.artifact(self.inputs.statistics)
        self.data = TrainingData(
            shards=tuple(map(self.artifact, self.inputs.shards)),
            collection=self.artifact(self.inputs.collection),
            multimodal=self.artifact(self.inputs.multimodal),
        )

    def artifact(self, folder: Path) -> ArtifactRef:
        return commit_once(given, self.run, given.declare(self.run, str(folder)))[0].ref

    def work(self, config: TrainingConfig, execution: TrainingExecution) -> Work:
        return train_specialist.declare(self.run, config, MODEL, self.data, self.statistics, execution)

    def specialist(self, config: TrainingConfig, execution: TrainingExecution) -> tuple[Manifest, bool]:
        return commit_once(train_specialist, self.run, self.work(config, execution))

    def file(self, manifest: Manifest, name: str) -> bytes:
        return (open_artifacts(self.run).folder(manifest.ref) / name).read_bytes()

    def losses(self, manifest: Manifest) -> list[float]:
        return [json.loads(line)["loss"] for line in self.file(manifest, "metrics.jsonl").splitlines()]

    def unfinished(self, config: TrainingConfig) -> list[int]:
        key = train_specialist.request(self.work(config, TrainingExecution())).key
        return [found.step for _, found in complete_checkpoints(open_artifacts(self.run).objects, key)]


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.fixture
def in_this_process(setting: Setting, tmp_path: Path) -> Callable[[TrainingConfig], Path]:
    """Trains the same specialist without any launching."""

    def train(config: TrainingConfig) -> Path:
        from dualvla_core.training.engine import ProcessGroup  # noqa: PLC0415 - seconds, for two of the tests
        from dualvla_core.training.plan import TrainingPlan  # noqa: PLC0415
        from dualvla_core.training.stage import train_policy  # noqa: PLC0415
        from tests.dualvla_core.training.conftest import Heard  # noqa: PLC0415

        output = tmp_path / "here"
        output.mkdir()
        plan = TrainingPlan(policy="specialist", training=config, model=MODEL, inputs=setting.inputs)
        group = ProcessGroup(TrainingExecution())
        train_policy(plan, group, Checkpoints(None, 1, tmp_path / "scratch"), output, Heard())
        return output

    return train


def workers(folder: Path) -> list[int]:
    """The processes, torchrun and its workers, whose command line names a job under ``folder``."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().decode() if entry.name.isdigit() else ""
        except OSError:  # it ended meanwhile
            continue
        if str(folder) in command and "tasks.training_worker" in command:
            found.append(int(entry.name))
    return sorted(found)


def killing(folder: Path, step: int) -> Callable[..., None]:
    """A progress that kills the youngest worker once ``step`` steps are done."""

    def progress(done: int, _total: int) -> None:
        if done >= step:
            os.kill(workers(folder)[-1], signal.SIGKILL)

    return progress


def test_two_processes_learn_as_one_and_leave_nothing_behind(
    setting: Setting,
    in_this_process: Callable[[TrainingConfig], Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "tasks.progress")
    execution = TrainingExecution(processes=2, checkpoint_every=2)
    manifest, hit = setting.specialist(SHARED, execution)
    assert not hit
    alone = [json.loads(line)["loss"] for line in (in_this_process(SHARED) / "metrics.jsonl").read_text().splitlines()]
    assert setting.losses(manifest) == pytest.approx(alone, rel=1e-5)
    measured = open_artifacts(setting.run).run_record(manifest)["provenance"]
    assert (measured["processes"], measured["continued_from_step"]) == (2, 0)
    assert measured["samples_per_s"] > 0
    parts = {part["module"]: part["trainable"] for part in measured["parts"]}
    assert parts["action head"] > 0
    assert f"action head {parts['action head']:>16,}{parts['action head']:>16,}" in caplog.text
    assert f"step {SHARED.steps} of {SHARED.steps}, loss {alone[-1]:.4f}" in caplog.text
    left = [info.key for info in open_artifacts(setting.run).objects.list(f"work/{manifest.key}/")]
    assert left == [f"work/{manifest.key}/lease.json"]
    assert [path for path in (tmp_path / "cache" / "training").rglob("*") if path.is_file()] == []
    assert setting.specialist(SHARED, TrainingExecution(processes=1))[1]  # execution is not keyed


def test_a_killed_worker_is_told_and_the_next_run_goes_on_to_the_same_bytes(
    setting: Setting,
    in_this_process: Callable[[TrainingConfig], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    execution = TrainingExecution(checkpoint_every=10)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.stage.stage_progress", lambda *_: killing(tmp_path, 35))
        with pytest.raises(WorkerCrashedError, match=r"(?s)run again to continue.*SIGKILL"):
            setting.specialist(LONG, execution)
    assert workers(tmp_path) == []
    furthest, before = setting.unfinished(LONG)
    assert (furthest % 10, before) == (0, furthest - 10)
    manifest, _ = setting.specialist(LONG, TrainingExecution())
    measured = open_artifacts(setting.run).run_record(manifest)["provenance"]
    assert (measured["continued_from_step"], measured["processes"]) == (furthest, 1)
    expected = in_this_process(LONG)
    for name in ("model.safetensors", "metrics.jsonl"):
        assert setting.file(manifest, name) == (expected / name).read_bytes()


def test_what_a_worker_says_is_wrong_is_raised_here(tmp_path: Path) -> None:
    setting = Setting(tmp_path, broken=True)
    with pytest.raises(
        TrainingError, match=r"loss of step 1 is not finite .* episode four frame 2 are not either"
    ) as caught:
        setting.specialist(SHARED.model_copy(update={"robot_batch": 18, "zero_stage": 0}), TrainingExecution())
    assert "Traceback" not in str(caught.value)


def test_students_of_other_steps_share_cached_teachers_and_those_of_another_temperature_do_not(
    setting: Setting,
) -> None:
    teacher = setting.statistics  # any artifact will do for a key

    def key(training: TrainingConfig, **distillation: Any) -> str:
        told = DistillationConfig(teachers="cached", **distillation)
        work = cache_teacher_outputs.declare(setting.run, training, told, setting.data, teacher, teacher)
        return cache_teacher_outputs.request(work).key

    shared = key(SHARED)
    assert key(SHARED.model_copy(update={"steps": 9, "robot_batch": 2, "learning_rate": 0.1}), weight=0.5) == shared
    others = [key(SHARED.model_copy(update={"augmentation": None})), key(SHARED, temperature=1.0)]
    others += [key(SHARED.model_copy(update={"multimodal_every": 0})), key(SHARED, action_teacher=False)]
    assert len({shared, *others}) == 5


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_every_stage_of_zero_gives_the_same_losses(
    setting: Setting, in_this_process: Callable[[TrainingConfig], Path], zero_stage: int, processes: int
) -> None:
    config = SHARED.model_copy(update={"zero_stage": zero_stage})
    manifest, _ = setting.specialist(config, TrainingExecution(processes=processes))
    reference = in_this_process(SHARED.model_copy(update={"zero_stage": 0}))
    expected = [json.loads(line)["loss"] for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert setting.losses(manifest) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_two_machines_learn_as_one(
    setting: Setting, in_this_process: Callable[[TrainingConfig], Path], tmp_path: Path, zero_stage: int
) -> None:
    """Two agents of torchrun that meet at 127.0.0.1, the second started through a stand-in for ssh."""
    (tmp_path / "hosts").write_text("127.0.0.1 slots=1\nlocalhost slots=1\n")
    shell = tmp_path / "remote_shell"
    shell.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/reached\nexec sh -c "$2"\n')
    shell.chmod(0o755)
    config = SHARED.model_copy(update={"zero_stage": zero_stage})
    execution = TrainingExecution(hostfile=tmp_path / "hosts", remote_shell=str(shell), checkpoint_every=2)
    manifest, _ = setting.specialist(config, execution)
    assert (tmp_path / "reached").read_text() == "localhost\n"
    assert open_artifacts(setting.run).run_record(manifest)["provenance"]["processes"] == 2
    reference = in_this_process(SHARED.model_copy(update={"zero_stage": 0}))
    expected = [json.loads(line)["loss"] for line in (reference / "metrics.jsonl").read_text().splitlines()]
    assert setting.losses(manifest) == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 2, 3])
def test_two_processes_killed_and_continued_end_with_the_same_bytes(
    setting: Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zero_stage: int
) -> None:
    config = LONG.model_copy(update={"zero_stage": zero_stage, "steps": 60})
    execution = TrainingExecution(processes=2, checkpoint_every=10)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.stage.stage_progress", lambda *_: killing(tmp_path, 25))
        with pytest.raises(WorkerCrashedError):
            setting.specialist(config, execution)
    continued, _ = setting.specialist(config, execution)
    whole = Setting(tmp_path / "whole")
    expected, _ = whole.specialist(config, execution)
    assert setting.file(continued, "model.safetensors") == whole.file(expected, "model.safetensors")
    assert setting.file(continued, "metrics.jsonl") == whole.file(expected, "metrics.jsonl")


@pytest.mark.parametrize("zero_stage", [2, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (0, 1, 3))])
def test_two_processes_killed_are_continued_by_one(
    setting: Setting,
    in_this_process: Callable[[TrainingConfig], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zero_stage: int,
) -> None:
    config = LONG.model_copy(update={"zero_stage": zero_stage, "steps": 30})
    with monkeypatch.context() as patch:
        patch.setattr("tasks.stage.stage_progress", lambda *_: killing(tmp_path, 15))
        with pytest.raises(WorkerCrashedError):
            setting.specialist(config, TrainingExecution(processes=2, checkpoint_every=5))
    manifest, _ = setting.specialist(config, TrainingExecution())
    measured = open_artifacts(setting.run).run_record(manifest)["provenance"]
    assert (measured["continued_from_step"] >= 10, measured["processes"]) == (True, 1)
    expected = (in_this_process(config) / "metrics.jsonl").read_text().splitlines()
    assert setting.losses(manifest) == pytest.approx([json.loads(line)["loss"] for line in expected], rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_workers_end_with_their_launcher(setting: Setting, tmp_path: Path, ending: signal.Signals) -> None:
    endless = LONG.model_copy(update={"steps": 100_000})
    script = tmp_path / "launch.py"
    script.write_text(
        "import sys, pathlib, pickle\n"
        "from tests.tasks.test_training_job import Setting, TrainingConfig, TrainingExecution\n"
        "setting = Setting(pathlib.Path(sys.argv[1]))\n"
        "setting.specialist(TrainingConfig.model_validate_json(sys.argv[2]), TrainingExecution())\n"
    )
    command = [sys.executable, str(script), str(tmp_path / "theirs"), endless.model_dump_json()]
    launcher = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])})
    wait_until(lambda: len(workers(tmp_path / "theirs")) == 2, "torchrun and its worker to start")
    launcher.send_signal(ending)
    launcher.wait(20)
    wait_until(lambda: not workers(tmp_path / "theirs"), "them to end")


@pytest.mark.slow
def test_the_three_trainings_in_a_row(setting: Setting) -> None:
    execution = TrainingExecution(processes=2)
    specialist, _ = setting.specialist(SHARED, execution)
    frozen = SHARED.model_copy(update={"freeze_action_head": True})
    work = train_generalist.declare(setting.run, frozen, setting.data, specialist.ref, execution)
    generalist, _ = commit_once(train_generalist, setting.run, work)

    def student(distillation: DistillationConfig) -> tuple[Manifest, bool]:
        arguments = (setting.data, generalist.ref, specialist.ref, generalist.ref, execution)
        declared = distill_student.declare(setting.run, frozen, distillation, *arguments)
        return commit_once(distill_student, setting.run, declared)

    manifest, _ = student(DistillationConfig())
    folder = open_artifacts(setting.run).folder(specialist.ref)
    named, hit = student(DistillationConfig(action_teacher=str(folder)))
    assert (named.key != manifest.key, hit) == (True, False)
    assert setting.file(named, "model.safetensors") == setting.file(manifest, "model.safetensors")
    assert open_artifacts(setting.run).run_record(named)["provenance"]["teachers"] == {"action_teacher": str(folder)}
    assert manifest.summary["robot_action_distillation"] > 0  # type: ignore[operator]
    assert manifest.summary["multimodal_reasoning_distillation"] >= 0  # type: ignore[operator]
    assert student(DistillationConfig())[1]
    assert student(DistillationConfig(weight=0.5))[0].key != manifest.key


def wait_until(holds: Callable[[], Any], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.2)
