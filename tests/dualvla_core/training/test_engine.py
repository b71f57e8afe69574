"""DeepSpeed against a training loop written by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dualvla_core.distillation.objective import Batch, Objective, Policy, Step
from dualvla_core.models.batches import MultimodalBatch
from dualvla_core.training.config import TrainingConfig
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
    """The mean square of a head's output; the domain is the sign of the token."""

    def step(self, student: Policy, batch: Batch, generator: torch.Generator) -> Step:
        assert isinstance(student, TwoHeads)
        head = student.left if batch.input_ids[0, 0] > 0 else student.right
        loss = head(torch.tanh(student.trunk(batch.images))).square().mean()
        return Step(loss, {"loss": loss.detach()})


def batch_of(step: int) -> MultimodalBatch:
    images = torch.rand(5, 4, generator=torch.Generator().manual_seed(step))
    token = torch.tensor([[1 if step % 2 else -1]])
    return MultimodalBatch(images, token, token, token)


def config(**changes: object) -> TrainingConfig:
    return TrainingConfig(robot_batch=1, learning_rate=0.1, clip=0.05, zero_stage=0).model_copy(update=changes)


def trained(engine: Engine, steps: range) -> list[tuple[float, float]]:
    values = []
    for step in steps:
        loss, _ = engine.compute(batch_of(step), torch.Generator())
        values.append((loss.item(), engine.update(loss, 0.1 / (1 + step))))
    return values


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
    loss, _ = engine.compute(batch_of(0), torch.Generator())
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
        loss, _ = engine.compute(half, torch.Generator())
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
