"""Teachers over the student's own frozen backbone: the same losses in less memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.distillation.shared import share_backbone
from dualvla_core.errors import ConfigError
from dualvla_core.models.config import AdaptationConfig
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.training.plan import TrainingInputs
from tests.dualvla_core.training.conftest import Train
from tests.dualvla_core.training.tiny_data import MODEL

ADAPTED = AdaptationConfig(language="lora", vision="frozen", projector="frozen", rank=2, alpha=4.0, dropout=0.1)


@pytest.fixture
def taught(train: Train, data: TrainingInputs) -> TrainingInputs:
    """A student's inputs, all policies trained from one backbone by adapters."""
    model = MODEL.model_copy(update={"adaptation": ADAPTED})
    specialist = train(training={"multimodal_every": 0}, model=model)
    inputs = data.model_copy(update={"initial": specialist.output, "statistics": None})
    generalist = train("generalist", inputs=inputs, training={"freeze_action_head": True})
    return inputs.model_copy(
        update={
            "initial": generalist.output,
            "action_teacher": specialist.output,
            "reasoning_teacher": generalist.output,
        }
    )


@pytest.mark.parametrize("changes", [{"zero_stage": 0}, {"zero_stage": 2}, {"zero_stage": 2, "precision": "bf16"}])
def test_shared_teachers_say_what_others_say(train: Train, taught: TrainingInputs, changes: dict[str, Any]) -> None:
    online, shared = (
        train("dualvla", inputs=taught, training=changes, distillation=DistillationConfig(teachers=how))
        for how in ("online", "shared")
    )
    assert shared.metrics == online.metrics
    assert shared.metrics[0]["action_distillation"] > 0
    assert shared.file("model.safetensors") == online.file("model.safetensors")


def test_what_is_frozen_lies_in_memory_once(taught: TrainingInputs) -> None:
    student, teacher = _loaded(taught.initial), _loaded(taught.action_teacher)
    before = _own_bytes(teacher, student)
    assert before == sum(weight.nbytes for weight in teacher.parameters())
    expected = teacher.state_dict()
    share_backbone("action teacher", teacher, student)
    after = teacher.state_dict()
    assert all(torch.equal(after[name], expected[name]) for name in expected)
    left = {name for name, weight in teacher.named_parameters() if id(weight) not in set(map(id, student.parameters()))}
    assert {
        "lora_" in name or name.startswith("action_head.") or "embed" in name or "lm_head" in name for name in left
    } == {True}
    assert _own_bytes(teacher, student) == sum(teacher.get_parameter(name).nbytes for name in left) < before


def test_a_policy_that_trains_as_a_whole_shares_nothing(train: Train, data: TrainingInputs) -> None:
    generalist = train("generalist")
    inputs = data.model_copy(
        update={"initial": generalist.output, "statistics": None, "reasoning_teacher": generalist.output}
    )
    with pytest.raises(ConfigError, match="trains as a whole"):
        train("dualvla", inputs=inputs, distillation=DistillationConfig(action_teacher=False, teachers="shared"))


def test_another_backbone_is_refused(train: Train, taught: TrainingInputs) -> None:
    other = train(
        training={"multimodal_every": 0, "seed": 1}, model=MODEL.model_copy(update={"adaptation": ADAPTED})
    ).output
    with pytest.raises(ConfigError, match=r"The action teacher has another backbone than the student \(.* differs\)"):
        train(
            "dualvla",
            inputs=taught.model_copy(update={"action_teacher": other}),
            distillation=DistillationConfig(teachers="shared"),
        )


def test_weights_that_are_taken_apart_cannot_be_shared(train: Train, taught: TrainingInputs) -> None:
    with pytest.raises(ConfigError, match="zero_stage = 3, which takes the weights apart"):
        train(
            "dualvla",
            inputs=taught,
            training={"zero_stage": 3},
            distillation=DistillationConfig(teachers="shared"),
        )


def _loaded(folder: Path | None) -> DualVLA:
    assert folder is not None
    policy = DualVLA.from_pretrained(folder)
    policy.action_head.requires_grad_(False)
    return policy


def _own_bytes(policy: nn.Module, other: nn.Module) -> int:
    """Bytes of the weights that ``other`` does not hold as well."""
    held = {weight.data_ptr() for weight in other.parameters()}
    return sum(weight.nbytes for weight in policy.parameters() if weight.data_ptr() not in held)
