"""What a batch teaches: the terms of each domain, which teacher is asked, how often and with what."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.distillation.losses import SIGMA_MIN
from dualvla_core.distillation.objective import Objective, Teachers
from dualvla_core.models.batches import MultimodalBatch, RobotBatch, Share

MakePolicy = Callable[[int], Any]


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def frozen(policy: nn.Module) -> Any:
    return policy.eval().requires_grad_(False)


@pytest.fixture
def student(policy: MakePolicy) -> Any:
    return policy(0)


@pytest.fixture
def teachers(policy: MakePolicy) -> Teachers:
    return Teachers(DistillationConfig(), action=frozen(policy(1)), reasoning=frozen(policy(2)))


def language_of(policy: Any, batch: RobotBatch | MultimodalBatch) -> Tensor:
    """L_LM the long way: logits at every position."""
    logits = policy.head(policy.encode(batch.images, batch.input_ids, batch.attention_mask))
    return cross_entropy(logits[:, :-1].transpose(1, 2), batch.labels[:, 1:], ignore_index=-100)


def flow_of(policy: Any, batch: RobotBatch, text: Any, noisy: Tensor, time: Tensor) -> Tensor:
    hidden = policy.encode(batch.images, text.input_ids, text.attention_mask)
    latents, visual = policy.latents(hidden, text.query_mask), policy.visual_features(hidden, text.input_ids)
    velocity: Tensor = policy.velocity(latents, visual, batch.state, noisy, time)
    return velocity


def test_robot_terms_are_language_and_flow_over_the_whole_assistant_turn(student: Any, robot_batch: RobotBatch) -> None:
    loss, terms = Objective().step(student, robot_batch, generator())
    noisy, time = student.flowed[0]
    noise = (noisy - time[:, None, None] * robot_batch.actions) / (1 - (1 - SIGMA_MIN) * time[:, None, None])
    error = flow_of(student, robot_batch, robot_batch, noisy, time) - (robot_batch.actions - (1 - SIGMA_MIN) * noise)
    expected = error.square()[~robot_batch.is_padding].mean()
    torch.testing.assert_close(terms["flow"], expected.detach())
    torch.testing.assert_close(terms["language"], language_of(student, robot_batch).detach())
    torch.testing.assert_close(loss, terms["language"] + terms["flow"])
    assert set(terms) == {"loss", "language", "flow"}


def test_multimodal_batches_teach_language_only(student: Any, multimodal_batch: MultimodalBatch) -> None:
    loss, terms = Objective().step(student, multimodal_batch, generator())
    torch.testing.assert_close(loss, language_of(student, multimodal_batch))
    assert (set(terms), student.flowed) == ({"loss", "language"}, [])


def test_robot_batches_ask_the_action_teacher_once_without_reasoning(
    student: Any, teachers: Teachers, robot_batch: RobotBatch
) -> None:
    loss, terms = Objective(teachers).step(student, robot_batch, generator())
    action: Any = teachers.action
    assert [len(action.encoded), len(teachers.reasoning.encoded)] == [1, 0]  # type: ignore[union-attr]
    assert action.encoded[0] is robot_batch.plain.input_ids
    assert student.encoded[0] is robot_batch.input_ids
    torch.testing.assert_close(action.flowed[0], student.flowed[0], rtol=0, atol=0)  # same noise, same time
    noisy, time = student.flowed[0]
    difference = flow_of(action, robot_batch, robot_batch.plain, noisy, time) - flow_of(
        student, robot_batch, robot_batch, noisy, time
    )
    expected = 2.0 * difference.square()[~robot_batch.is_padding].mean() / 2
    torch.testing.assert_close(terms["action_distillation"], expected.detach())
    torch.testing.assert_close(loss, terms["language"] + terms["flow"] + 0.15 * terms["action_distillation"])
    assert action.spoken == 0  # no text is asked of the action teacher


def test_multimodal_batches_ask_the_reasoning_teacher_once(
    student: Any, teachers: Teachers, multimodal_batch: MultimodalBatch
) -> None:
    loss, terms = Objective(teachers).step(student, multimodal_batch, generator())
    reasoning: Any = teachers.reasoning
    assert [len(teachers.action.encoded), len(reasoning.encoded)] == [0, 1]  # type: ignore[union-attr]
    assert (reasoning.spoken, reasoning.flowed) == (1, [])
    kept = multimodal_batch.labels[:, 1:] != -100
    logits = [
        policy.head(
            policy.encode(multimodal_batch.images, multimodal_batch.input_ids, multimodal_batch.attention_mask)
        )[:, :-1][kept]
        / 2.0
        for policy in (reasoning, student)
    ]
    divergence = kl_div(logits[1].log_softmax(-1), logits[0].log_softmax(-1), log_target=True, reduction="batchmean")
    torch.testing.assert_close(terms["reasoning_distillation"], 4.0 * divergence.detach())
    torch.testing.assert_close(loss, terms["language"] + 0.15 * terms["reasoning_distillation"])


def test_only_the_student_learns(student: Any, policy: MakePolicy, robot_batch: RobotBatch) -> None:
    teacher = policy(1)  # even one that was not frozen
    teachers = Teachers(DistillationConfig(weight=1e6), action=teacher, reasoning=teacher)
    Objective(teachers).step(student, robot_batch, generator()).loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(parameter.grad is not None for parameter in student.parameters())


def test_a_teacher_left_out_leaves_its_domain_to_the_hard_labels(
    student: Any, teachers: Teachers, robot_batch: RobotBatch, multimodal_batch: MultimodalBatch
) -> None:
    without = dataclasses.replace(teachers, action=None)
    assert "action_distillation" not in Objective(without).step(student, robot_batch, generator()).terms
    assert "reasoning_distillation" in Objective(without).step(student, multimodal_batch, generator()).terms


def test_a_student_equal_to_its_teachers_has_nothing_to_distil(
    student: Any, robot_batch: RobotBatch, multimodal_batch: MultimodalBatch
) -> None:
    teachers = Teachers(DistillationConfig(), action=student, reasoning=student)
    plain = dataclasses.replace(robot_batch, **vars(robot_batch.plain))
    assert Objective(teachers).step(student, plain, generator()).terms["action_distillation"] == 0
    assert Objective(teachers).step(student, multimodal_batch, generator()).terms["reasoning_distillation"] == 0
    assert Objective(teachers).step(student, robot_batch, generator()).terms["action_distillation"] > 0


def test_several_noise_draws_share_one_encoding(student: Any, teachers: Teachers, robot_batch: RobotBatch) -> None:
    Objective(teachers, flow_draws=3).step(student, robot_batch, generator())
    noisy, time = student.flowed[0]
    assert (noisy.shape, time.shape) == ((12, 3, 2), (12,))
    assert len(set(time.tolist())) == 12
    assert [len(student.encoded), len(teachers.action.encoded)] == [1, 1]  # type: ignore[union-attr]


class _Pair:
    """Two processes in one: what the other contributes to each average is known beforehand."""

    size = 2

    def __init__(self, rank: int, others: list[Tensor]) -> None:
        self.rank, self.others = rank, others
        self.own: list[Tensor] = []

    def average(self, values: Tensor) -> Tensor:
        self.own.append(values)
        return (values + self.others[len(self.own) - 1]) / 2 if self.others else values


def half(batch: RobotBatch, rank: int) -> RobotBatch:
    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[rank::2]
        return dataclasses.replace(value, **{name: cut(each) for name, each in vars(value).items()})

    return dataclasses.replace(batch, **{name: cut(value) for name, value in vars(batch).items()})


@pytest.mark.parametrize("flow_draws", [1, 2])
def test_two_parts_add_up_to_the_loss_of_the_whole(
    student: Any, teachers: Teachers, robot_batch: RobotBatch, flow_draws: int
) -> None:
    objective = Objective(teachers, flow_draws)
    whole = objective.step(student, robot_batch, generator())
    batches = [half(robot_batch, number) for number in (0, 1)]
    parts = objective.parts(batches)
    assert [part.share for part in parts] == [Share(0, 2), Share(1, 2)]
    steps = [
        objective.step(student, *given, part)
        for *given, part in zip(batches, (generator(), generator()), parts, strict=True)
    ]
    torch.testing.assert_close(steps[0].loss + steps[1].loss, whole.loss)
    for name, value in whole.terms.items():
        torch.testing.assert_close(steps[0].terms[name] + steps[1].terms[name], value)


def test_parts_of_two_processes_take_turns(robot_batch: RobotBatch) -> None:
    objective = Objective(ranks=_Pair(1, []))
    shares = [part.share for part in objective.parts([half(robot_batch, 0), half(robot_batch, 1)])]
    assert shares == [Share(1, 4), Share(3, 4)]


@pytest.mark.parametrize("flow_draws", [1, 2])
def test_two_processes_average_to_the_loss_of_one(
    student: Any, teachers: Teachers, robot_batch: RobotBatch, flow_draws: int
) -> None:
    whole = Objective(teachers, flow_draws).step(student, robot_batch, generator())
    counting = [_Pair(rank, []) for rank in (0, 1)]
    for pair in counting:
        Objective(teachers, flow_draws, pair).step(student, half(robot_batch, pair.rank), generator())
    assert not torch.equal(counting[0].own[0], counting[1].own[0])  # they do hold different numbers of tokens
    steps = [
        Objective(teachers, flow_draws, _Pair(rank, counting[1 - rank].own)).step(
            student, half(robot_batch, rank), generator()
        )
        for rank in (0, 1)
    ]
    for name, value in whole.terms.items():
        torch.testing.assert_close((steps[0].terms[name] + steps[1].terms[name]) / 2, value)
