from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, kl_divergence

from dualvla_core.distillation.action_terms import BinTerms
from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.distillation.objective import Objective, Teachers
from dualvla_core.distillation.sparse import sparse_distribution
from dualvla_core.models.batches import RobotBatch
from tests.dualvla_core.distillation.conftest import ACTION, CHUNK, TinyPolicy

BINS = 4
ACTIONS = torch.tensor([[[-0.9, 0.1], [0.6, 0.6]]])  # bins 0, 2, 3, 3
IS_PADDING = torch.tensor([[False, True]])


def test_the_loss_is_the_cross_entropy_of_the_demonstrated_bins() -> None:
    logits = torch.log(torch.tensor([[[[0.7, 0.1, 0.1, 0.1], [0.2, 0.2, 0.5, 0.1]], [[0.25] * 4] * 2]]))
    mean = BinTerms(ACTIONS, IS_PADDING).loss(logits)
    assert mean.value.item() == pytest.approx(-(math.log(0.7) + math.log(0.5)) / 2, rel=1e-6)
    assert mean.count == 2


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_distance_is_eq_5(temperature: float) -> None:
    """Against torch.distributions: T² KL of the tempered categoricals, teacher first, mean over positions."""
    torch.manual_seed(0)
    teacher, student = torch.randn(1, 2, 2, BINS), torch.randn(1, 2, 2, BINS)
    reference = temperature**2 * kl_divergence(
        Categorical(logits=teacher[0, 0] / temperature), Categorical(logits=student[0, 0] / temperature)
    )
    distance = BinTerms(ACTIONS, IS_PADDING).distance(teacher, student, temperature).value
    torch.testing.assert_close(distance, reference.mean())


@pytest.mark.parametrize("top", [BINS, 1])
def test_what_a_cache_kept_is_at_the_same_distance_on_average(top: int) -> None:
    torch.manual_seed(0)
    teacher, student = torch.randn(1, 2, 2, BINS), torch.randn(1, 2, 2, BINS, requires_grad=True)
    terms, temperature = BinTerms(ACTIONS, IS_PADDING), 2.0
    expected = terms.distance(teacher, student, temperature).value
    (gradient,) = torch.autograd.grad(expected, student)
    draw = torch.Generator().manual_seed(0)
    kept = sparse_distribution((teacher / temperature).flatten(0, 2), top, 1 if top == BINS else 20_000, draw)
    found = terms.distance(kept, student, temperature).value
    tolerance = {"atol": 1e-6, "rtol": 1e-5} if top == BINS else {"atol": 0.02, "rtol": 0.05}
    torch.testing.assert_close(found, expected, **tolerance)
    torch.testing.assert_close(torch.autograd.grad(found, student)[0], gradient, **tolerance)


class BinPolicy(TinyPolicy):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.bins = nn.LazyLinear(CHUNK * ACTION * BINS)
        self.asked: list[Tensor] = []

    def action_logits(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Tensor:
        assert visual is not None
        assert state is not None
        self.asked.append(latents)
        logits: Tensor = self.bins(torch.cat([latents.flatten(1), visual.mean(1), state], 1))
        return logits.view(-1, CHUNK, ACTION, BINS)


def test_a_robot_step_with_bins(robot_batch: RobotBatch) -> None:
    student, teacher = BinPolicy(0), BinPolicy(1)
    objective = Objective(Teachers(DistillationConfig(), teacher, None), flow_draws=3, action_head="discrete")
    loss, terms = objective.step(student, robot_batch, torch.Generator())
    assert set(terms) == {"loss", "language", "bins", "action_distillation"}
    torch.testing.assert_close(loss.detach(), terms["language"] + terms["bins"] + 0.15 * terms["action_distillation"])
    assert len(student.asked) == len(teacher.asked) == len(teacher.encoded) == 1
    assert torch.equal(teacher.encoded[0], robot_batch.plain.input_ids)  # the teacher hears no reasoning
    loss.backward()  # type: ignore[no-untyped-call]
    assert student.bins.weight.grad is not None
    assert teacher.bins.weight.grad is None


def test_a_student_like_its_teacher_is_at_no_distance(
    robot_batch: RobotBatch, policy: Callable[[int], TinyPolicy]
) -> None:
    student = BinPolicy(0)
    silent = RobotBatch(
        **{
            **vars(robot_batch),
            "input_ids": robot_batch.plain.input_ids,
            "attention_mask": robot_batch.plain.attention_mask,
            "labels": robot_batch.plain.labels,
            "query_mask": robot_batch.plain.query_mask,
        }
    )
    objective = Objective(Teachers(DistillationConfig(), student, None), action_head="discrete")
    _, terms = objective.step(student, silent, torch.Generator())
    assert terms["action_distillation"].item() == pytest.approx(0, abs=1e-6)
