"""A vocabulary in two parts: pretrained rows that can stay as they are, and rows of new tokens that train.

Two parameters, instead of one with masked gradients, because then no optimizer state, weight decay or communication is
spent on the old rows, which are most of a small model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear

_SPREAD = 0.1


class SplitEmbedding(nn.Module):
    """Rows ``[V, D]`` of token embeddings, those below ``first`` apart from the others.

    Args:
        weight: the pretrained rows, at least ``first`` of them; later ones are padding and left out.
        first: the first new token.
        size: V, all tokens.
    """

    def __init__(self, weight: Tensor, first: int, size: int) -> None:
        super().__init__()
        old = weight.detach()[:first]
        mean, spread = old.mean(0), old.std(0)
        noise = torch.randn(size - first, weight.shape[1], device=weight.device).to(weight)
        self.old = nn.Parameter(old.clone())
        self.new = nn.Parameter(mean + _SPREAD * spread * noise)

    @property
    def num_embeddings(self) -> int:
        """V."""
        return len(self.old) + len(self.new)

    @property
    def embedding_dim(self) -> int:
        """D."""
        return self.old.shape[1]

    @property
    def weight(self) -> Tensor:
        """All rows ``[V, D]``."""
        return torch.cat([self.old, self.new])

    def forward(self, input_ids: Tensor) -> Tensor:
        """``[...]`` to ``[..., D]``."""
        first = len(self.old)
        old = embedding(input_ids.clamp(max=first - 1), self.old)
        new = embedding((input_ids - first).clamp(min=0), self.new)
        return torch.where((input_ids < first)[..., None], old, new)


class SplitHead(nn.Module):
    """Logits ``[..., V]`` of hidden states ``[..., D]``, by rows of its own or those of the embedding (tied)."""

    def __init__(self, rows: SplitEmbedding) -> None:
        super().__init__()
        self.rows = rows

    @property
    def weight(self) -> Tensor:
        """All rows ``[V, D]``."""
        return self.rows.weight

    def forward(self, hidden: Tensor) -> Tensor:
        """``[..., D]`` to ``[..., V]``."""
        return torch.cat([linear(hidden, self.rows.old), linear(hidden, self.rows.new)], -1)


def split_vocabulary(backbone: Any, first: int, size: int) -> None:
    """Give ``backbone`` a vocabulary of ``size`` tokens whose rows from ``first`` on are new; tied rows stay tied."""
    inputs, outputs = backbone.get_input_embeddings().weight, backbone.get_output_embeddings().weight
    first = min(first, len(inputs))
    rows = SplitEmbedding(inputs, first, size)
    backbone.set_input_embeddings(rows)
    backbone.set_output_embeddings(SplitHead(rows if outputs is inputs else SplitEmbedding(outputs, first, size)))
