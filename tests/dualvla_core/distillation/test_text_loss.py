"""Text's two losses in one chunked pass, against values worked by hand and torch's own formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div

from dualvla_core.distillation import sparse, text_loss
from dualvla_core.distillation.sparse import SparseTargets, sparse_targets
from dualvla_core.distillation.text_loss import DenseTargets

TOKENS, WIDTH, VOCABULARY, WEIGHT = 23, 6, 31, 0.15


def drawn(*shape: int, seed: int, grad: bool = False) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_(grad)


@pytest.fixture
def hidden() -> Tensor:
    return drawn(TOKENS, WIDTH, seed=0, grad=True)


@pytest.fixture
def rows() -> Tensor:
    return drawn(VOCABULARY, WIDTH, seed=1, grad=True)


@pytest.fixture
def labels() -> Tensor:
    return torch.randint(VOCABULARY, (TOKENS,), generator=torch.Generator().manual_seed(2))


@pytest.fixture
def teacher() -> DenseTargets:
    return DenseTargets(drawn(TOKENS, 4, seed=3), [drawn(VOCABULARY, 4, seed=4)])


def as_written(hidden: Tensor, rows: Tensor, labels: Tensor, teacher: DenseTargets, t: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy and T² KL from log-probabilities of everything."""
    logits, wanted = hidden @ rows.T, teacher.hidden @ teacher.rows[0].T
    found, expected = (logits / t).log_softmax(-1), (wanted / t).log_softmax(-1)
    divergence = kl_div(found, expected, reduction="sum", log_target=True)
    return cross_entropy(logits, labels, reduction="sum"), t**2 * divergence


def test_both_terms_by_hand() -> None:
    identity = [torch.eye(2)]
    student = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # probabilities 3/4, 1/4 and 1/2, 1/2
    language = text_loss.text_loss(student, identity, torch.tensor([0, 1])).language
    assert language.item() == pytest.approx(math.log(4 / 3) + math.log(2))
    wanted = DenseTargets(torch.tensor([[2 * math.log(3.0), 0.0]]), identity)  # at T = 2: 3/4, 1/4
    found = text_loss.text_loss(student[1:], identity, torch.tensor([1]), wanted, 2.0, 0.5)
    expected = 4 * (0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))
    assert found.distillation.item() == pytest.approx(expected)
    assert found.total.item() == pytest.approx(math.log(2) + 0.5 * expected)


@pytest.mark.parametrize("chunk", [1, VOCABULARY * 5, 2**24])
@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_values_and_gradients_are_those_of_the_formula(
    monkeypatch: pytest.MonkeyPatch,
    hidden: Tensor,
    rows: Tensor,
    labels: Tensor,
    teacher: DenseTargets,
    temperature: float,
    chunk: int,
) -> None:
    monkeypatch.setattr(text_loss, "CHUNK_LOGITS", chunk)
    monkeypatch.setattr(text_loss, "_CACHED_LOGITS", 2 * VOCABULARY)
    found = text_loss.text_loss(hidden, [rows], labels, teacher, temperature, WEIGHT)
    language, divergence = as_written(hidden, rows, labels, teacher, temperature)
    torch.testing.assert_close(found.language, language)
    torch.testing.assert_close(found.distillation, divergence)
    wanted = torch.autograd.grad((language + WEIGHT * divergence) / TOKENS, [hidden, rows])
    for own, expected in zip(torch.autograd.grad(found.total / TOKENS, [hidden, rows]), wanted, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-6)


def test_rows_that_do_not_train_get_no_gradient(hidden: Tensor, rows: Tensor, labels: Tensor) -> None:
    old, new = rows.detach()[:20], rows.detach()[20:].requires_grad_()
    found = text_loss.text_loss(hidden, [old, new], labels)
    cross_entropy(hidden @ rows.T, labels, reduction="sum").backward()  # type: ignore[no-untyped-call]
    (gradient,) = torch.autograd.grad(found.total, [new])
    assert rows.grad is not None
    torch.testing.assert_close(gradient, rows.grad[20:])


def test_a_student_equal_to_its_teacher_has_nothing_to_learn(hidden: Tensor, rows: Tensor, labels: Tensor) -> None:
    same = DenseTargets(hidden.detach(), [rows.detach()])
    assert text_loss.text_loss(hidden, [rows], labels, same, 2.0, 1.0).distillation == 0


def test_nothing_supervised_is_no_loss_and_no_gradient(hidden: Tensor, rows: Tensor, teacher: DenseTargets) -> None:
    nothing = torch.zeros(0, dtype=torch.int64)
    found = text_loss.text_loss(hidden[:0], [rows], nothing, DenseTargets(teacher.hidden[:0], teacher.rows), 2.0, 1.0)
    assert found.total == 0
    assert torch.autograd.grad(found.total, [rows])[0].abs().sum() == 0


def test_without_gradients_none_are_made(hidden: Tensor, rows: Tensor, labels: Tensor) -> None:
    with torch.no_grad():
        found = text_loss.text_loss(hidden, [rows], labels)
    assert not found.total.requires_grad
    torch.testing.assert_close(found.language, cross_entropy(hidden @ rows.T, labels, reduction="sum").detach())


def test_half_precision_is_summed_in_full(hidden: Tensor, rows: Tensor, labels: Tensor, teacher: DenseTargets) -> None:
    half = [each.detach().bfloat16().requires_grad_() for each in (hidden, rows)]
    found = text_loss.text_loss(half[0], half[1:], labels, teacher, 2.0, WEIGHT)
    assert found.total.dtype == torch.float32
    gradients = torch.autograd.grad(found.total, half)
    exact = [each.detach().float().requires_grad_() for each in half]
    language, divergence = as_written(exact[0], exact[1], labels, teacher, 2.0)
    for own, expected in zip(gradients, torch.autograd.grad(language + WEIGHT * divergence, exact), strict=True):
        assert own.dtype == torch.bfloat16
        torch.testing.assert_close(own.float(), expected, rtol=0.05, atol=0.1)


def recorded(teacher: DenseTargets, top: int, samples: int, seed: int = 0) -> SparseTargets:
    generator = torch.Generator().manual_seed(seed)
    return sparse_targets(teacher.hidden, teacher.rows, 2.0, top, samples, generator)


def test_recorded_targets_state_the_mass_they_leave_to_sampling(
    monkeypatch: pytest.MonkeyPatch, teacher: DenseTargets
) -> None:
    monkeypatch.setattr(sparse, "CHUNK_LOGITS", VOCABULARY * 5)
    found = recorded(teacher, top=3, samples=4)
    expected = (teacher.hidden @ teacher.rows[0].T / 2.0).softmax(-1)
    likeliest = expected.topk(3, -1)
    torch.testing.assert_close(found.mass[:, :3], likeliest.values)
    assert torch.equal(found.ids[:, :3], likeliest.indices)
    torch.testing.assert_close(found.mass[:, 3:].sum(-1), 1 - likeliest.values.sum(-1))
    assert not (found.ids[:, 3:, None] == found.ids[:, None, :3]).any()  # the samples are of the others
    torch.testing.assert_close(found.negative_entropy, (expected * expected.log()).sum(-1))


def test_with_every_token_kept_a_record_is_the_teacher(
    hidden: Tensor, rows: Tensor, labels: Tensor, teacher: DenseTargets
) -> None:
    whole = text_loss.text_loss(hidden, [rows], labels, recorded(teacher, VOCABULARY, 1), 2.0, WEIGHT)
    expected = text_loss.text_loss(hidden, [rows], labels, teacher, 2.0, WEIGHT)
    torch.testing.assert_close(whole.distillation, expected.distillation)
    gradients = [torch.autograd.grad(each.total, [hidden, rows]) for each in (whole, expected)]
    for own, wanted in zip(*gradients, strict=True):
        torch.testing.assert_close(own, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("top", [0, 3])
def test_the_mean_over_many_records_is_the_teacher(
    hidden: Tensor, rows: Tensor, labels: Tensor, teacher: DenseTargets, top: int
) -> None:
    def taught(by: DenseTargets | SparseTargets) -> tuple[Tensor, Tensor]:
        loss = text_loss.text_loss(hidden, [rows], labels, by, 2.0, 1.0)
        return loss.distillation, torch.autograd.grad(loss.total, [hidden])[0]

    found = [taught(recorded(teacher, top, 8, seed)) for seed in range(300)]
    divergence, gradient = taught(teacher)
    assert torch.stack([each for each, _ in found]).mean().item() == pytest.approx(divergence.item(), rel=0.03)
    mean = torch.stack([each for _, each in found]).mean(0)
    assert (mean - gradient).norm() < 0.03 * gradient.norm()
    assert (found[0][1] - gradient).norm() > 0.03 * gradient.norm()


def test_nothing_to_record() -> None:
    nothing = DenseTargets(torch.zeros(0, 4), [torch.zeros(VOCABULARY, 4)])
    assert recorded(nothing, 3, 4).ids.shape == (0, 7)
