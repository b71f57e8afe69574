"""Whole trainings in this process: what they write, how they go on, and how they stop."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.training.engine import ProcessGroup
from dualvla_core.training.errors import TrainingError
from dualvla_core.training.plan import TrainingInputs
from tests.dualvla_core.training.conftest import FolderStore, Train, Trained
from tests.dualvla_core.training.tiny_data import CAMERAS, write_data


def warm(data: TrainingInputs, trained: Trained, **others: Path) -> TrainingInputs:
    """The same data, for a policy that starts from ``trained``."""
    return data.model_copy(update={"initial": trained.output, "statistics": None, **others})


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return DualVLA.from_pretrained(folder).state_dict()


def test_a_specialist_is_written_with_its_record(train: Train) -> None:
    trained = train()
    policy = DualVLA.from_pretrained(trained.output)
    assert (policy.policy_type, policy.cameras, policy.embodiment) == ("specialist", CAMERAS, "robot")
    lines = trained.metrics
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert [line["domain"] for line in lines] == ["robot", "robot", "multimodal"] * 2
    common = {"step", "domain", "loss", "language", "gradient_norm", "learning_rate"}
    assert [set(line) - common for line in lines[:3]] == [{"flow"}, {"flow"}, set()]
    assert lines[0]["loss"] == pytest.approx(lines[0]["language"] + lines[0]["flow"])
    assert [(done, total) for done, total, _, _ in trained.heard] == [(step, 6) for step in range(1, 7)]
    assert (trained.summary["robot_samples"], trained.summary["multimodal_samples"]) == (18, 3)
    robot = [line["flow"] for line in lines if line["domain"] == "robot"]
    assert trained.summary["robot_flow"] == pytest.approx(sum(robot) / 4, abs=1e-6)


def test_the_same_training_writes_the_same_bytes_and_learns(train: Train) -> None:
    first, second = train(training={"steps": 30}), train(training={"steps": 30})
    files = sorted(path.relative_to(first.output) for path in first.output.rglob("*") if path.is_file())
    assert all(first.file(str(name)) == second.file(str(name)) for name in files)
    assert first.losses[-3] < first.losses[0] - 0.5


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_every_zero_stage_gives_the_same_losses(train: Train, stage: int) -> None:
    expected, found = train(training={"zero_stage": 0}), train(training={"zero_stage": stage})
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_killed_training_goes_on_to_the_same_bytes(train: Train, folder_store: FolderStore, stage: int) -> None:
    whole = train(training={"zero_stage": stage})
    with pytest.raises(KeyboardInterrupt):
        train(training={"zero_stage": stage}, store=folder_store, die_after=4)
    assert folder_store.saved == [2, 4]
    continued = train(training={"zero_stage": stage}, store=folder_store)
    assert [done for done, *_ in continued.heard] == [5, 6]
    for name in ("model.safetensors", "metrics.jsonl"):
        assert continued.file(name) == whole.file(name)


def test_other_seeds_train_other_policies(train: Train) -> None:
    assert train().losses != train(training={"seed": 1}).losses


def test_the_student_learns_from_both_teachers_with_a_frozen_action_head(train: Train, data: TrainingInputs) -> None:
    specialist = train(training={"multimodal_every": 0})
    generalist = train("generalist", inputs=warm(data, specialist))
    teachers = {"action_teacher": specialist.output, "reasoning_teacher": generalist.output}
    student = train(
        "dualvla",
        training={"freeze_action_head": True, "zero_stage": 2},
        inputs=warm(data, generalist, **teachers),
        distillation=DistillationConfig(),
    )
    robot, _, multimodal, *_ = student.metrics
    assert robot["action_distillation"] > 0
    weighted = robot["language"] + robot["flow"] + 0.15 * robot["action_distillation"]
    assert robot["loss"] == pytest.approx(weighted, rel=1e-5)
    assert set(multimodal) >= {"reasoning_distillation"}
    assert "action_distillation" not in multimodal
    before, after = weights(generalist.output), weights(student.output)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert any(name.startswith("action_head.") for name in before)
    assert not [name for name in changed if name.startswith("action_head.")]
    assert student.summary["trainable_parameters"] < student.summary["parameters"]
    assert DualVLA.from_pretrained(student.output).policy_type == "dualvla"


def test_a_student_at_its_first_step_agrees_with_the_generalist_it_is(train: Train, data: TrainingInputs) -> None:
    generalist = train("generalist")
    inputs = warm(data, generalist, reasoning_teacher=generalist.output, action_teacher=generalist.output)
    config = {"steps": 2, "multimodal_every": 2, "warmup_steps": 0, "learning_rate": 1e-30, "weight_decay": 0.0}
    student = train("dualvla", training=config, inputs=inputs, distillation=DistillationConfig())
    assert student.metrics[1]["reasoning_distillation"] == pytest.approx(0, abs=1e-6)
    assert student.metrics[0]["action_distillation"] > 0  # it reads the reasoning, its teacher does not


def test_ablations_leave_teachers_out(train: Train, data: TrainingInputs) -> None:
    generalist = train("generalist")
    inputs = warm(data, generalist, reasoning_teacher=generalist.output, action_teacher=generalist.output)
    alone = train("dualvla", inputs=inputs, distillation=DistillationConfig(action_teacher=False))
    assert "action_distillation" not in alone.metrics[0]
    assert "reasoning_distillation" in alone.metrics[2]


def test_a_specialist_reads_no_reasoning_and_a_generalist_does(train: Train) -> None:
    calm = {"steps": 1, "augmentation": None}
    specialist, generalist = train("specialist", training=calm), train("generalist", training=calm)
    assert specialist.metrics[0]["language"] != generalist.metrics[0]["language"]


def test_a_demonstration_that_is_no_number_stops_the_training_and_is_named(
    train: Train, folder_store: FolderStore, tmp_path: Path
) -> None:
    inputs = write_data(tmp_path / "broken", broken=True)
    with pytest.raises(
        TrainingError,
        match=r"step 1 is not finite \(.*flow nan.*\); the numbers of episode four frame [012], .*are not either",
    ) as caught:
        train(training={"steps": 12, "robot_batch": 18}, inputs=inputs, store=folder_store)
    assert folder_store.saved == []
    (folder,) = (tmp_path / "scratch").glob("not-finite-*")
    assert str(folder) in str(caught.value)
    names = json.loads((folder / "samples-0.json").read_text())
    assert "episode four frame 2" in names
    saved = torch.load(folder / "batch-0.pt")
    row = names.index("episode four frame 2")
    assert saved["actions"][row].isnan().any()
    assert saved["images"].shape[0] == len(names) == 18


def test_a_gradient_that_breaks_stops_the_training(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:

    def objective_step(*given: Any) -> Any:
        step = original(*given)
        return step._replace(loss=step.loss + (step.loss - step.loss).sqrt())

    from dualvla_core.distillation.objective import Objective  # noqa: PLC0415

    original = Objective.step
    monkeypatch.setattr(Objective, "step", objective_step)
    with pytest.raises(TrainingError, match=r"gradient of step 1 is not finite .*; its batch held episode \w+ frame"):
        train()


def test_questions_are_needed_for_multimodal_steps(train: Train, data: TrainingInputs) -> None:
    without = data.model_copy(update={"multimodal": None})
    with pytest.raises(ConfigError, match="there is no multimodal shard"):
        train(inputs=without)
    assert train(inputs=without, training={"multimodal_every": 0}).summary["robot_samples"] == 18


def test_a_policy_needs_a_beginning(train: Train, data: TrainingInputs) -> None:
    with pytest.raises(ConfigError, match="neither an initial policy nor a model"):
        train(inputs=data.model_copy(update={"statistics": None}))


def test_shards_of_another_robot_are_refused(train: Train, data: TrainingInputs, tmp_path: Path) -> None:
    other = write_data(tmp_path / "other", robot="humanoid").shards
    with pytest.raises(ConfigError, match=r"shards are of \['humanoid', 'robot'\], but the policy drives 'robot'"):
        train(inputs=data.model_copy(update={"shards": (*data.shards, *other)}))


def test_a_batch_that_the_processes_cannot_share_is_refused(
    train: Train, group: ProcessGroup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "size", 3)
    with pytest.raises(ConfigError, match="robot_batch = 4 cannot be shared equally by 3 processes"):
        train()


def test_teachers_that_do_not_fit_are_refused_before_the_first_step(train: Train, data: TrainingInputs) -> None:
    generalist = train("generalist")
    other = train(inputs=data.model_copy(update={"multimodal": None}), training={"multimodal_every": 0})
    inputs = warm(data, generalist, action_teacher=other.output, reasoning_teacher=generalist.output)
    with pytest.raises(ConfigError, match="action teacher has other vocabulary"):
        train("dualvla", inputs=inputs, distillation=DistillationConfig())


def test_a_folder_that_is_no_policy_is_refused(data: TrainingInputs, train: Train, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError):
        train(inputs=data.model_copy(update={"initial": tmp_path}))
