"""The flow-matching action expert: a small transformer from noise to an action chunk.

Its sequence is ``[image tokens | latent actions, state | noisy actions]`` with block-wise causal attention: each block
sees itself and those before. The first two therefore do not depend on noise or time; their keys and values (the
`Condition`) are computed once and serve every Euler step and every noise draw.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dualvla_core.models.config import FlowHeadConfig

_MAX_PERIOD = 100.0
_TIME_SCALE = 100.0


@dataclass(frozen=True)
class Condition:
    """Keys and values ``[B, heads, N, E / heads]`` of the condition tokens, one pair per layer."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    def repeated(self, draws: int) -> Condition:
        """The condition of ``draws`` noise draws, ``[draws * B, ...]`` as ``Tensor.repeat`` orders them."""
        return Condition(
            tuple((keys.repeat(draws, 1, 1, 1), values.repeat(draws, 1, 1, 1)) for keys, values in self.layers)
        )


class _Layer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(
        self, tokens: Tensor, before: tuple[Tensor, Tensor] | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """``tokens`` ``[B, N, E]`` attending to themselves (through ``mask``) and the keys and values ``before``."""
        batch, length, width = tokens.shape
        qkv = self.qkv(self.attention_norm(tokens)).view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        seen_keys = keys if before is None else torch.cat([before[0], keys], 2)
        seen_values = values if before is None else torch.cat([before[1], values], 2)
        attended = scaled_dot_product_attention(queries, seen_keys, seen_values, attn_mask=mask)
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return tokens + self.mlp(tokens), (keys, values)


class FlowExpert(nn.Module):
    """The velocity field v(actions, time | images, latent actions, state).

    Args:
        config: widths.
        backbone_width: width D of latents and image features.
        state_size: S; None = no state.
        action_size: A.
        action_chunk: T.
        action_queries: K.
    """

    def __init__(
        self,
        config: FlowHeadConfig,
        *,
        backbone_width: int,
        state_size: int | None,
        action_size: int,
        action_chunk: int,
        action_queries: int,
    ) -> None:
        super().__init__()
        width = config.hidden
        self.visual_in = nn.Linear(backbone_width, width) if config.visual_features else None
        self.latent_in = nn.Linear(backbone_width, width)
        self.latent_position = nn.Parameter(0.02 * torch.randn(action_queries, width))
        self.state_in = (
            None
            if state_size is None
            else nn.Sequential(nn.Linear(state_size, width), nn.SiLU(), nn.Linear(width, width))
        )
        self.action_in = nn.Linear(action_size, width)
        self.action_position = nn.Parameter(0.02 * torch.randn(action_chunk, width))
        self.time_in = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.layers = nn.ModuleList(_Layer(width, config.heads) for _ in range(config.layers))
        self.out = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, action_size))

    def condition(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Condition:
        """Keys and values of image tokens ``[B, N, D]``, latents ``[B, K, D]`` and normalised state ``[B, S]``."""
        blocks = [] if self.visual_in is None or visual is None else [self.visual_in(visual)]
        latent_block = self.latent_in(latents) + self.latent_position
        if self.state_in is not None and state is not None:
            latent_block = torch.cat([latent_block, self.state_in(state.to(latents.dtype))[:, None]], 1)
        tokens = torch.cat([*blocks, latent_block], 1)
        length, images = tokens.shape[1], tokens.shape[1] - latent_block.shape[1]
        mask = torch.ones(length, length, dtype=torch.bool, device=tokens.device)
        mask[:images, images:] = False
        pairs = []
        for layer in self.layers:
            tokens, pair = layer(tokens, mask=mask)
            pairs.append(pair)
        return Condition(tuple(pairs))

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
