"""What both action heads share: a small transformer whose action tokens look at what the backbone understood.

Its sequence is ``[image tokens | latent actions, state | actions]`` with block-wise causal attention: each block sees
itself and those before. The first two therefore do not depend on the actions; their keys and values (the `Condition`)
are computed once and serve every Euler step and every noise draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from dualvla_core.models.config import ActionExpertConfig


@dataclass(frozen=True)
class Condition:
    """Keys and values ``[B, heads, N, E / heads]`` of the condition tokens, one pair per layer."""

    layers: tuple[tuple[Tensor, Tensor], ...]

    def repeated(self, draws: int) -> Condition:
        """The condition of ``draws`` noise draws, ``[draws * B, ...]`` as ``Tensor.repeat`` orders them."""
        return Condition(
            tuple((keys.repeat(draws, 1, 1, 1), values.repeat(draws, 1, 1, 1)) for keys, values in self.layers)
        )


class ExpertLayer(nn.Module):
    """Attention and MLP, each after a normalisation."""

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
        queries, keys, values = self.project(tokens)
        seen_keys = keys if before is None else torch.cat([before[0], keys], 2)
        seen_values = values if before is None else torch.cat([before[1], values], 2)
        attended = scaled_dot_product_attention(queries, seen_keys, seen_values, attn_mask=mask)
        tokens = tokens + self.out(attended.transpose(1, 2).reshape(batch, length, width))
        return tokens + self.mlp(tokens), (keys, values)

    def project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values ``[B, heads, N, E / heads]`` of ``tokens`` ``[B, N, E]``."""
        batch, length, width = tokens.shape
        qkv = self.qkv(self.attention_norm(tokens)).view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = qkv.permute(2, 0, 3, 1, 4)
        return queries, keys, values


@dataclass(frozen=True)
class HeadSizes:
    """What an action head stands between."""

    backbone_width: int
    """Width D of latents and image features."""
    state_size: int | None
    """S; None = no state."""
    action_size: int
    """A."""
    action_chunk: int
    """T."""
    action_queries: int
    """K."""


class ConditionTokens(nn.Module):
    """Projects what conditions the actions into the expert's width."""

    def __init__(self, config: ActionExpertConfig, sizes: HeadSizes) -> None:
        super().__init__()
        width, state = config.hidden, sizes.state_size
        self.visual_in = nn.Linear(sizes.backbone_width, width) if config.visual_features else None
        self.latent_in = nn.Linear(sizes.backbone_width, width)
        self.latent_position = nn.Parameter(0.02 * torch.randn(sizes.action_queries, width))
        self.state_in = (
            None if state is None else nn.Sequential(nn.Linear(state, width), nn.SiLU(), nn.Linear(width, width))
        )
        self.film = nn.Linear(width, 2 * width) if config.visual_features and config.film else None
        if self.film is not None:  # starts as the identity
            nn.init.zeros_(self.film.weight)
            nn.init.zeros_(self.film.bias)

    def forward(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> tuple[Tensor, int]:
        """Tokens ``[B, N + K (+ 1), E]`` and the number N of image tokens, which come first.

        Args:
            latents: ``[B, K, D]``.
            visual: image tokens ``[B, N, D]``, or None.
            state: ``[B, S]`` normalised, or None.
        """
        block = self.latent_in(latents) + self.latent_position
        blocks: list[Tensor] = []
        if self.visual_in is not None and visual is not None:
            seen = self.visual_in(visual)
            if self.film is not None:  # what is intended decides which features matter: x (1 + gamma) + beta
                gamma, beta = self.film(block.mean(1, keepdim=True)).chunk(2, -1)
                seen = seen * (1 + gamma) + beta
            blocks.append(seen)
        images = sum(each.shape[1] for each in blocks)
        blocks.append(block)
        if self.state_in is not None and state is not None:
            blocks.append(self.state_in(state.to(latents.dtype))[:, None])
        return torch.cat(blocks, 1), images


def condition_on(layers: nn.ModuleList, tokens: Tensor, images: int) -> Condition:
    """Keys and values of condition ``tokens`` ``[B, N, E]``, the first ``images`` of which see only each other.

    Nothing reads what the last layer makes of these tokens, so it ends at their keys and values.
    """
    length = tokens.shape[1]
    mask = torch.ones(length, length, dtype=torch.bool, device=tokens.device)
    mask[:images, images:] = False
    pairs = []
    for layer in layers[:-1]:
        tokens, pair = layer(tokens, mask=mask)
        pairs.append(pair)
    last = layers[-1]
    assert isinstance(last, ExpertLayer)
    _, keys, values = last.project(tokens)
    return Condition((*pairs, (keys, values)))


class ActionHead(Protocol):
    """From latent actions to actions; `FlowExpert` and `BinExpert` are the two."""

    def condition(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Condition:
        """What every forward of the head for these observations needs; arguments as of `ConditionTokens`."""
        ...

    def decide(self, condition: Condition, noise: Tensor) -> Tensor:
        """Normalised actions ``[B, T, A]``; ``noise`` ``[B, T, A]`` is standard normal, for a head that needs any."""
        ...
