"""The flow-matching action head: from noise to an action chunk, along a learned velocity."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from dualvla_core.models.action_expert import Condition, ConditionTokens, ExpertLayer, HeadSizes, condition_on
from dualvla_core.models.config import FlowHeadConfig

_MAX_PERIOD = 100.0
_TIME_SCALE = 100.0


class FlowExpert(nn.Module):
    """The velocity field v(actions, time | images, latent actions, state)."""

    def __init__(self, config: FlowHeadConfig, sizes: HeadSizes) -> None:
        super().__init__()
        width = config.hidden
        self.euler_steps = config.euler_steps
        self.inputs = ConditionTokens(config, sizes)
        self.action_in = nn.Linear(sizes.action_size, width)
        self.action_position = nn.Parameter(0.02 * torch.randn(sizes.action_chunk, width))
        self.time_in = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(ExpertLayer(width, config.heads) for _ in range(config.layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sizes.action_size))

    def condition(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Condition:
        """See `ActionHead.condition`."""
        return condition_on(self.layers, *self.inputs(latents, visual, state))

    def decide(self, condition: Condition, noise: Tensor) -> Tensor:
        """See `ActionHead.decide`."""
        return integrate(self, condition, noise, self.euler_steps)

    def forward(self, condition: Condition, noisy: Tensor, time: Tensor) -> Tensor:
        """The velocity ``[B, T, A]`` at ``noisy`` ``[B, T, A]`` and ``time`` ``[B]`` in [0, 1] (0 = noise)."""
        weight_type = self.action_position.dtype
        moment = self.time_in(time_embedding(time, self.action_position.shape[1]).to(weight_type))
        tokens = self.action_in(noisy.to(weight_type)) + self.action_position + moment[:, None]
        for layer, before in zip(self.layers, condition.layers, strict=True):
            tokens, _ = layer(tokens, before)
        velocity: Tensor = self.out(tokens)
        return velocity


def time_embedding(time: Tensor, width: int) -> Tensor:
    """Sines and cosines ``[B, width]`` of ``time`` ``[B]`` in [0, 1], with periods spread over two decades."""
    frequencies = torch.exp(-math.log(_MAX_PERIOD) * torch.arange(width // 2, device=time.device) / (width // 2))
    angles = _TIME_SCALE * time[:, None].float() * frequencies
    return torch.cat([angles.sin(), angles.cos()], -1)


def integrate(expert: FlowExpert, condition: Condition, noise: Tensor, steps: int) -> Tensor:
    """Euler integration from ``noise`` ``[B, T, A]`` at time 0 to actions at time 1."""
    actions = noise
    for step in range(steps):
        time = torch.full((len(noise),), step / steps, device=noise.device)
        actions = actions + expert(condition, actions, time) / steps
    return actions
