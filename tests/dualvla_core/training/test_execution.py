"""How a training is executed changes what it takes, and not what it teaches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from dualvla_core.distillation.objective import Step
from dualvla_core.models.batches import MultimodalBatch, RobotBatch
from dualvla_core.models.config import AdaptationConfig
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.training.config import TrainingExecution
from dualvla_core.training.engine import Engine, ProcessGroup
from dualvla_core.training.schedule import parts_of
from tests.dualvla_core.training.conftest import Train
from tests.dualvla_core.training.tiny_data import MODEL


@pytest.mark.parametrize(
    ("samples", "micro_batch", "parts"), [(64, None, 1), (64, 64, 1), (64, 32, 2), (64, 24, 4), (7, 3, 7), (2, 64, 1)]
)
def test_parts_are_equal_and_no_larger_than_told(samples: int, micro_batch: int | None, parts: int) -> None:
    assert parts_of(samples, micro_batch) == parts


@pytest.fixture
def executed(train: Train, group: ProcessGroup, monkeypatch: pytest.MonkeyPatch) -> Train:
    """As `train`, with ``execution`` as a mapping of settings."""

    def run(*given: Any, execution: dict[str, Any], **options: Any) -> Any:
        monkeypatch.setattr(group, "execution", TrainingExecution.model_validate(execution))
        return train(*given, **options)

    return run


@pytest.mark.parametrize("stage", [0, 2, *(pytest.param(stage, marks=pytest.mark.slow) for stage in (1, 3))])
def test_one_batch_of_64_teaches_what_two_of_32_do(
    executed: Train, stage: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Any] = []
    compute = Engine.compute

    def noted(engine: Engine, batch: Any, *others: Any) -> Step:
        taken.append(batch)
        return compute(engine, batch, *others)

    monkeypatch.setattr(Engine, "compute", noted)
    training = {"robot_batch": 64, "multimodal_batch": 32, "zero_stage": stage, "steps": 6}
    whole = executed("generalist", training=training, execution={})
    assert [len(batch.images) for batch in taken] == [64, 64, 32, 64, 64, 32]
    taken.clear()
    parts = executed("generalist", training=training, execution={"micro_batch": 32})
    kinds = [RobotBatch] * 4 + [MultimodalBatch]  # no step mixes the domains
    assert [(type(batch), len(batch.images)) for batch in taken] == [(kind, 32) for kind in kinds * 2]
    for found, expected in zip(parts.metrics, whole.metrics, strict=True):
        assert found.keys() == expected.keys()
        for name in found.keys() - {"step", "domain"}:
            assert found[name] == pytest.approx(expected[name], rel=1e-5), name


@pytest.mark.parametrize(
    ("stage", "language"),
    [
        (0, "experts"),
        (3, "full"),
        *(pytest.param(*others, marks=pytest.mark.slow) for others in ((0, "full"), (3, "experts"))),
    ],
)
def test_layers_computed_twice_teach_the_same(
    executed: Train, stage: int, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    adaptation = AdaptationConfig.model_validate({"language": language, "rank": 2, "gate_hidden": 4, "dropout": 0.1})
    model = MODEL.model_copy(update={"adaptation": adaptation})
    asked: list[DualVLA] = []
    enable = DualVLA.checkpoint_gradients

    def noted(policy: DualVLA) -> None:
        asked.append(policy)
        enable(policy)

    monkeypatch.setattr(DualVLA, "checkpoint_gradients", noted)
    training = {"zero_stage": stage, "steps": 3}
    kept = executed(training=training, model=model, execution={})
    assert not asked
    twice = executed(training=training, model=model, execution={"gradient_checkpointing": True})
    assert asked
    assert twice.losses == pytest.approx(kept.losses, rel=1e-6)
    if stage == 0:
        assert twice.file("model.safetensors") == kept.file("model.safetensors")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["lora", "experts"])
def test_adapters_learn_alike_under_every_stage(train: Train, language: str) -> None:
    adaptation = AdaptationConfig.model_validate({"language": language, "rank": 2, "gate_hidden": 4, "dropout": 0.0})
    model = MODEL.model_copy(update={"adaptation": adaptation})
    expected, *others = (train(training={"zero_stage": stage}, model=model).losses for stage in (0, 1, 2, 3))
    assert all(found == pytest.approx(expected, rel=1e-5) for found in others)


def test_layers_computed_twice_keep_less(executed: Train) -> None:
    kept, twice = (_kept(executed(execution={}).output, checkpointed) for checkpointed in (False, True))
    assert twice < kept


def _kept(folder: Any, checkpointed: bool) -> int:
    """Bytes that the backbone keeps for its backward pass."""
    policy = DualVLA.from_pretrained(folder).train()
    if checkpointed:
        policy.checkpoint_gradients()
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    ids = torch.tensor([[policy.prompts.image] * 2 + [policy.prompts.queries[0]] * 40] * 8)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        policy.encode(torch.rand(8, 2, 3, 16, 16), ids, torch.ones_like(ids))
    return sum(sizes.values())


def test_the_parts_of_the_policy_are_told_before_the_first_step(train: Train) -> None:
    trained = train(training={"freeze_action_head": True, "steps": 1, "multimodal_every": 0})
    sizes = {part.module: (part.parameters, part.trainable) for part in trained.parts}
    assert sizes["action head"][0] > 0 == sizes["action head"][1]
    assert sizes["language"][0] == sizes["language"][1] > 0
    assert sum(parameters for parameters, _ in sizes.values()) == trained.summary["parameters"]
    policy = DualVLA.from_pretrained(trained.output)
    assert trained.summary["parameters"] == sum(parameter.numel() for parameter in policy.parameters())
