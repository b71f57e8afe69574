"""The loss terms against values worked by hand and against torch's own implementations."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Beta, Independent, Normal, kl_divergence
from torch.nn.functional import mse_loss

from dualvla_core.distillation.losses import (
    SIGMA_MIN,
    TIME_MAX,
    FlowNoise,
    action_kd_loss,
    draw_flow_noise,
    flow_matching_loss,
    noisy_actions,
    target_velocity,
)


def test_flow_path_by_hand() -> None:
    actions = torch.tensor([[[1.0, -0.5]]])
    flow = FlowNoise(noise=torch.tensor([[[2.0, 1.0]]]), time=torch.tensor([0.5]))
    # (1 - 0.999 * 0.5) * 2 + 0.5 * 1 = 1.501 and (1 - 0.4995) * 1 - 0.25 = 0.2505
    assert noisy_actions(actions, flow).flatten().tolist() == pytest.approx([1.501, 0.2505])
    # 1 - 0.999 * 2 and -0.5 - 0.999 * 1
    assert target_velocity(actions, flow).flatten().tolist() == pytest.approx([-0.998, -1.499])


def test_flow_path_goes_from_noise_to_almost_the_action_at_the_target_velocity() -> None:
    generator = torch.Generator().manual_seed(0)
    actions, noise = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)

    def at(time: float) -> torch.Tensor:
        return noisy_actions(actions, FlowNoise(noise, torch.full((2,), time)))

    torch.testing.assert_close(at(0), noise)
    torch.testing.assert_close(at(1), actions + SIGMA_MIN * noise)
    slope = (at(0.75) - at(0.25)) / 0.5
    torch.testing.assert_close(slope, target_velocity(actions, FlowNoise(noise, torch.zeros(2))))


def test_time_follows_the_beta_distribution() -> None:
    flow = draw_flow_noise((20_000, 1, 1), torch.Generator().manual_seed(0))
    assert flow.noise.shape == (20_000, 1, 1)
    assert 0 <= flow.time.min() < flow.time.max() <= TIME_MAX
    z = 1 - flow.time / TIME_MAX
    expected = Beta(torch.tensor(1.5), torch.tensor(1.0))
    assert z.mean().item() == pytest.approx(expected.mean.item(), abs=0.005)  # 0.6
    assert z.var().item() == pytest.approx(expected.variance.item(), abs=0.003)
    assert (z < 0.5).float().mean().item() == pytest.approx(0.5**1.5, abs=0.01)  # its distribution function is z^1.5


def test_a_draw_has_a_time_per_chunk() -> None:
    flow = draw_flow_noise((2, 3, 5, 4), torch.Generator().manual_seed(1))
    assert (flow.noise.shape, flow.time.shape) == ((2, 3, 5, 4), (2, 3))
    assert len(set(flow.time.flatten().tolist())) == 6


def test_flow_matching_loss_leaves_padding_out() -> None:
    velocity = torch.tensor([[[1.0, 2.0], [9.0, 9.0]], [[0.0, 0.0], [1.0, 0.0]]])
    is_padding = torch.tensor([[False, True], [False, False]])
    mean = flow_matching_loss(velocity, torch.zeros_like(velocity), is_padding)
    assert (mean.total.item(), mean.count.item()) == (1 + 4 + 0 + 0 + 1 + 0, 6)
    whole = flow_matching_loss(velocity, torch.ones_like(velocity), torch.zeros(2, 2, dtype=torch.bool))
    torch.testing.assert_close(whole.value, mse_loss(velocity, torch.ones_like(velocity)))


def test_a_broken_value_in_padding_does_not_reach_the_loss() -> None:
    velocity = torch.tensor([[[1.0], [math.nan]]])
    mean = flow_matching_loss(velocity, torch.zeros_like(velocity), torch.tensor([[False, True]]))
    assert mean.value.item() == 1


def test_action_distillation_by_hand() -> None:
    teacher, student = torch.tensor([[[1.0, 2.0], [7.0, 7.0]]]), torch.tensor([[[0.0, 0.0], [0.0, 0.0]]])
    mean = action_kd_loss(teacher, student, torch.tensor([[False, True]]), temperature=2.0)
    assert mean.value.item() == pytest.approx(2.0 * (1 + 4) / 2 / 2)  # T ‖Δ‖² / 2, mean over two dimensions


@pytest.mark.parametrize("temperature", [1.0, 2.0, 4.0])
def test_action_distillation_is_the_scaled_divergence_of_tempered_gaussians(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    teacher, student = torch.randn(2, 3, 4, generator=generator), torch.randn(2, 3, 4, generator=generator)
    scale = math.sqrt(temperature)
    divergence = kl_divergence(
        Independent(Normal(teacher, scale), 3), Independent(Normal(student, scale), 3)
    )  # the density of N(v, 1) to the power of 1 / T is that of N(v, T)
    mean = action_kd_loss(teacher, student, torch.zeros(2, 3, dtype=torch.bool), temperature)
    torch.testing.assert_close(mean.total, temperature**2 * divergence)


def test_the_teacher_receives_no_gradient() -> None:
    teacher, student = torch.randn(1, 2, 3, requires_grad=True), torch.randn(1, 2, 3, requires_grad=True)
    mean = action_kd_loss(teacher, student, torch.zeros(1, 2, dtype=torch.bool), 2.0)
    gradients: tuple[torch.Tensor | None, ...] = torch.autograd.grad(mean.value, [teacher, student], allow_unused=True)
    assert gradients[0] is None
    assert gradients[1] is not None


def test_losses_of_half_precision_are_computed_in_full() -> None:
    logits = torch.tensor([[10.0, 9.9, -20.0]], dtype=torch.bfloat16)
    for mean in (
        action_kd_loss(logits[None], logits[None] + 1, torch.zeros(1, 1, dtype=torch.bool), 1.0),
        flow_matching_loss(logits[None], logits[None] + 1, torch.zeros(1, 1, dtype=torch.bool)),
    ):
        assert mean.total.dtype == torch.float32
