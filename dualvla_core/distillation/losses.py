"""The loss terms of actions: flow matching, and its distillation. Those of text are in `text_loss`.

Each is returned as its sum and the number of values summed, so that a mean over the processes of a training is the
mean over all values of the batch, whichever process they are on. Everything is computed in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

SIGMA_MIN = 0.001
"""Standard deviation that is left of the noise at time 1."""

TIME_BETA = 1.5
"""Time is 0.999 (1 - z) with z ~ Beta(1.5, 1): early, noisy times are drawn more often."""

TIME_MAX = 0.999


@dataclass(frozen=True)
class Mean:
    """A mean that is not yet divided: ``total / count``, both scalars ``[]``."""

    total: Tensor
    count: Tensor

    @property
    def value(self) -> Tensor:
        """The mean; 0 where nothing was summed."""
        return self.total / self.count.clamp(min=1)


class FlowNoise(NamedTuple):
    """What flow matching draws for a batch: ``noise [B, T, A]`` (standard normal) and ``time [B]`` in [0, 0.999]."""

    noise: Tensor
    time: Tensor


def draw_flow_noise(shape: tuple[int, ...], generator: torch.Generator) -> FlowNoise:
    """Noise of ``shape`` ``[..., T, A]`` and a time ``[...]`` for each action chunk, on the generator's device."""
    noise = torch.randn(shape, generator=generator, device=generator.device)
    uniform = torch.rand(shape[:-2], generator=generator, device=generator.device)
    beta = uniform ** (1 / TIME_BETA)  # the quantile function of Beta(a, 1) is u^(1/a)
    return FlowNoise(noise, TIME_MAX * (1 - beta))


def noisy_actions(actions: Tensor, flow: FlowNoise) -> Tensor:
    """The point ψ_t = (1 - (1 - σ_min) t) x_0 + t x_1 between noise and ``actions`` ``[B, T, A]``."""
    time = flow.time[:, None, None]
    return (1 - (1 - SIGMA_MIN) * time) * flow.noise + time * actions


def target_velocity(actions: Tensor, flow: FlowNoise) -> Tensor:
    """The derivative of ψ_t by time, x_1 - (1 - σ_min) x_0: ``[B, T, A]``."""
    return actions - (1 - SIGMA_MIN) * flow.noise


def flow_matching_loss(velocity: Tensor, target: Tensor, is_padding: Tensor) -> Mean:
    """Squared error of ``velocity`` to ``target`` ``[B, T, A]`` over steps and dimensions.

    Steps past the end of an episode (``is_padding`` ``[B, T]``) do not count: they hold no demonstrated action.
    """
    return mean_over_steps((velocity.float() - target.float()).square(), is_padding)


def action_kd_loss(teacher: Tensor, student: Tensor, is_padding: Tensor, temperature: float) -> Mean:
    """DualVLA Eq. 5 for a flow head: T² KL between tempered Gaussians around two velocities ``[B, T, A]``.

    Read as N(v, T) per dimension (unit variance, tempered by T), the KL is ‖v_teacher - v_student‖² / 2T, so that
    T² KL = T ‖Δv‖² / 2. Padding is left out as in `flow_matching_loss`.
    """
    error = (teacher.detach().float() - student.float()).square()
    return mean_over_steps(temperature * error / 2, is_padding)


def mean_over_steps(values: Tensor, is_padding: Tensor) -> Mean:
    """The mean of ``values`` ``[B, T, A]`` over samples, steps that are no padding (``[B, T]``), and dimensions."""
    counted = (~is_padding).unsqueeze(-1).expand_as(values)
    return Mean(values.masked_fill(~counted, 0).sum(), counted.sum().float())
