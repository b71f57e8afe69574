"""The discrete action head: every dimension of every step is one of 256 bins, all predicted at once.

With it the action distillation of DualVLA Eq. 5 is literally a softmax KL at the action positions. Unlike an
autoregressive vocabulary of actions it factorises over steps and dimensions, so that a chunk costs one forward.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dualvla_core.models.action_expert import Condition, ConditionTokens, ExpertLayer, HeadSizes, condition_on
from dualvla_core.models.config import DiscreteHeadConfig


class BinExpert(nn.Module):
    """Logits of bins given images, latent actions and state."""

    def __init__(self, config: DiscreteHeadConfig, sizes: HeadSizes) -> None:
        super().__init__()
        width = config.hidden
        self.bins = config.bins
        self.inputs = ConditionTokens(config, sizes)
        self.action_position = nn.Parameter(0.02 * torch.randn(sizes.action_chunk, width))
        self.layers = nn.ModuleList(ExpertLayer(width, config.heads) for _ in range(config.layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, sizes.action_size * config.bins))

    def condition(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Condition:
        """See `ActionHead.condition`."""
        return condition_on(self.layers, *self.inputs(latents, visual, state))

    def forward(self, condition: Condition) -> Tensor:
        """Logits ``[B, T, A, bins]``."""
        batch = condition.layers[0][0].shape[0]
        tokens = self.action_position.expand(batch, -1, -1)
        for layer, before in zip(self.layers, condition.layers, strict=True):
            tokens, _ = layer(tokens, before)
        logits: Tensor = self.out(tokens).unflatten(-1, (-1, self.bins))
        return logits

    def decide(self, condition: Condition, noise: Tensor) -> Tensor:
        """The centres of the likeliest bins; no noise is needed. See `ActionHead.decide`."""
        return centres(self(condition).argmax(-1), self.bins).to(noise)


def bins_of(actions: Tensor, bins: int) -> Tensor:
    """The bin of each normalised action in [-1, 1], which they cut into equal parts; what lies outside is clipped."""
    return ((actions.clamp(-1, 1) + 1) / 2 * bins).long().clamp(max=bins - 1)


def centres(chosen: Tensor, bins: int) -> Tensor:
    """The normalised action at the middle of each bin."""
    return (chosen + 0.5) / bins * 2 - 1
