"""DeepSpeed against a training loop written by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from dualvla_core.distillation.objective import Batch, Objective, Part, Policy, Step
from dualvla_core.errors import ConfigError
from dualvla_core.models.batches import WHOLE, MultimodalBatch
from dualvla_core.training.config import OffloadConfig, TrainingConfig, TrainingExecution
from dualvla_core.training.engine import Engine, ProcessGroup
from dualvla_core.training.errors import TrainingError


class TwoHeads(nn.Module):
    """A trunk with two heads, of which a batch uses one, and a weight that is frozen."""

    text_rows = ()

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk, self.left, self.right = nn.Linear(4, 4), nn.Linear(4, 1), nn.Linear(4, 1)
        self.left.bias.requires_grad_(False)


class Squares(Objective):
    """The mean square of a head's output over all parts; the domain is the sign of the token."""

    def parts(self, batches: Sequence[Batch]) -> list[Part]:
        samples = torch.tensor(sum(len(batch.images) for batch in batches))
        return [Part(WHOLE, samples)] * len(batches)

    def step(self, student: Policy, batch: Batch, generator: torch.Generator, part: Part | None = None) -> Step:
        assert isinstance(student, TwoHeads)
        head = student.left if batch.input_ids[0, 0] > 0 else student.right
        loss = head(torch.tanh(student.trunk(batch.images))).square().sum() / (part or self.parts([batch])[0]).counts
        return Step(loss, {"loss": loss.detach()})


def batch_of(step: int) -> MultimodalBatch:
    images = torch.rand(6, 4, generator=torch.Generator().manual_seed(step))
    token = torch.tensor([[1 if step % 2 else -1]])
    return MultimodalBatch(images, token, token, token)


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig(robot_batch=1, learning_rate=0.1, clip=0.05, zero_stage=0).model_copy(update=changes)


def trained(engine: Engine, steps: range, parts: int = 1) -> list[tuple[float, float]]:
    values = []
    for step in steps:
        losses = computed(engine, batch_of(step), parts)
        norm = engine.update(losses[-1], 0.1 / (1 + step))
        values.append((sum(loss.item() for loss in losses), norm))
    return values


def computed(engine: Engine, batch: MultimodalBatch, parts: int = 1) -> list[Tensor]:
    """The losses of a batch's parts, all gradients but the last one's accumulated."""
    cut = [dataclasses.replace(batch, images=images) for images in batch.images.chunk(parts)]
    losses: list[Tensor] = []
    for each, part in zip(cut, engine.parts(cut), strict=True):
        if losses:
            engine.accumulate(losses[-1])
        losses.append(engine.compute(each, torch.Generator(), part).loss)
    return losses


def by_hand(steps: int) -> list[tuple[float, float]]:
    """AdamW with clipping; a weight the batch does not use has a gradient of zero, as DeepSpeed has it."""
    model = TwoHeads()
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=0.1, betas=(0.9, 0.95), weight_decay=0.05)
    values = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.1 / (1 + step)
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        loss = Squares().step(model, batch_of(step), torch.Generator()).loss  # type: ignore[arg-type]
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(weights, 0.05)
        optimizer.step()
        values.append((loss.item(), norm.item()))
    return values


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_every_stage_learns_as_a_loop_by_hand(group: ProcessGroup, stage: int) -> None:
    engine = Engine(TwoHeads(), Squares(), config(zero_stage=stage), group)
    found = trained(engine, range(6))
    for (loss, norm), (expected_loss, expected_norm) in zip(found, by_hand(6), strict=True):
        assert loss == pytest.approx(expected_loss, rel=1e-4)
        assert norm == pytest.approx(expected_norm, rel=1e-4)
    assert max(norm for _, norm in found) > 0.05  # so it was clipped


@pytest.mark.parametrize(
    ("stage", "optimizer"), [(0, None), (1, None), (2, None), (3, None), (1, "cpu"), (2, "cpu"), (3, "cpu")]
)
@pytest.mark.parametrize("parts", [2, 3])
def test_a_batch_taken_in_parts_teaches_what_it_teaches_at_once(
    group: ProcessGroup, stage: int, optimizer: Literal["cpu"] | None, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "execution", TrainingExecution(offload=OffloadConfig(optimizer=optimizer)))
    engine = Engine(TwoHeads(), Squares(), config(zero_stage=stage), group)
    for step in range(6):  # domains take different numbers of parts
        (found,) = trained(engine, range(step, step + 1), parts if step % 2 else 1)
        assert found == pytest.approx(by_hand(6)[step], rel=1e-4)


@pytest.mark.parametrize("optimizer", [None, "cpu"])
def test_offloaded_weights_learn_as_others(
    group: ProcessGroup, optimizer: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offload = OffloadConfig.model_validate({"optimizer": optimizer, "weights": "cpu"})
    monkeypatch.setattr(group, "execution", TrainingExecution(offload=offload))
    engine = Engine(TwoHeads(), Squares(), config(zero_stage=3), group)
    trained(engine, range(3))
    engine.save(tmp_path)
    other = Engine(TwoHeads(), Squares(), config(zero_stage=3), group)
    other.load(tmp_path, tmp_path)
    for found, expected in zip(trained(other, range(3, 6)), by_hand(6)[3:], strict=True):
        assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("stage", "offload", "message"),
    [
        (2, {"weights": "cpu"}, r"Offloading weights needs zero_stage = 3, found 2"),
        (2, {"optimizer": "nvme", "folder": "disk"}, r"to nvme needs zero_stage = 3, found 2"),
        (0, {"optimizer": "cpu"}, r"needs zero_stage 1, 2 or 3, found 0"),
        (3, {"optimizer": "nvme", "folder": "disk"}, r"questions leave the action head out; set freeze_action_head"),
    ],
)
def test_an_offload_that_the_stage_cannot_do_is_refused(
    group: ProcessGroup, stage: int, offload: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = TrainingExecution(offload=OffloadConfig.model_validate(offload))
    monkeypatch.setattr(group, "execution", execution)
    with pytest.raises(ConfigError, match=message):
        Engine(TwoHeads(), Squares(), config(zero_stage=stage, multimodal_every=2), group)


def test_a_disk_to_offload_to_is_named() -> None:
    with pytest.raises(ValidationError, match=r"nvme needs a folder"):
        OffloadConfig(optimizer="nvme")


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_loaded_engine_goes_on_as_the_saved_one(group: ProcessGroup, stage: int, tmp_path: Path) -> None:
    whole = Engine(TwoHeads(), Squares(), config(zero_stage=stage), group)
    trained(whole, range(3))
    whole.save(tmp_path)
    expected = trained(whole, range(3, 6))
    other = Engine(TwoHeads(), Squares(), config(zero_stage=stage), group)
    other.load(tmp_path, tmp_path)
    assert trained(other, range(3, 6)) == expected


@pytest.mark.parametrize("stage", [0, 2, 3])
def test_a_gradient_that_is_not_finite_is_told(group: ProcessGroup, stage: int) -> None:
    engine = Engine(TwoHeads(), Squares(), config(zero_stage=stage), group)
    (loss,) = computed(engine, batch_of(0))
    norm = engine.update(_without_gradient(loss), 0.1)
    assert norm != norm or norm == float("inf")


def _without_gradient(loss: Tensor) -> Tensor:
    """0, with a derivative that is no number."""
    return (loss - loss).sqrt()


def test_bfloat16_learns_in_half_precision_with_full_master_weights(group: ProcessGroup) -> None:
    student = TwoHeads()
    engine = Engine(student, Squares(), config(zero_stage=2, precision="bf16"), group)
    assert student.trunk.weight.dtype == torch.bfloat16
    half = MultimodalBatch(batch_of(0).images.bfloat16(), *3 * [torch.tensor([[1]])])
    losses = []
    for _ in range(5):
        (loss,) = computed(engine, half)
        losses.append(loss.item())
        engine.update(loss, 0.02)
    assert losses[-1] < losses[0]


def test_gathered_weights_are_whole(group: ProcessGroup) -> None:
    student = TwoHeads()
    engine = Engine(student, Squares(), config(zero_stage=3), group)
    assert student.trunk.weight.numel() == 0
    with engine.gathered():
        torch.testing.assert_close(student.trunk.weight.data, TwoHeads().trunk.weight.data)


def test_a_missing_checkpoint_is_told(group: ProcessGroup, tmp_path: Path) -> None:
    engine = Engine(TwoHeads(), Squares(), config(), group)
    with pytest.raises(TrainingError, match="There is no checkpoint"):
        engine.load(tmp_path, tmp_path)
