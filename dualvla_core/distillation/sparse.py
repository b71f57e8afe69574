"""A teacher's word for a few tokens instead of the whole vocabulary: what a cache can afford to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dualvla_core.distillation.text_loss import CHUNK_LOGITS, log_sum, project


@dataclass(frozen=True)
class SparseTargets:
    """A distribution of few tokens for each of N, whose expectation is the teacher's own.

    The gradient of the divergence is unbiased for any number of kept and sampled tokens, the divergence itself too, so
    that a single one may come out below zero.
    """

    ids: Tensor
    """``[N, K]`` int64; a token may stand there more than once. Of a discrete action head these are bins."""
    mass: Tensor
    """``[N, K]`` float32, each row with the sum 1."""
    negative_entropy: Tensor
    """``[N]`` float32: Σ p log p over the teacher's whole vocabulary."""

    def chunk(self, part: slice) -> SparseTargets:
        """As in `TextTargets`."""
        return SparseTargets(self.ids[part], self.mass[part], self.negative_entropy[part])

    def divergence(self, part: slice, logits: Tensor, gradient: Tensor, temperature: float, weight: float) -> Tensor:
        """As in `ChunkTargets`."""
        ids, mass = self.ids[part], self.mass[part]
        found = torch.softmax(logits, -1)
        gradient.add_(found, alpha=weight * temperature)
        gradient.scatter_add_(-1, ids, mass * (-weight * temperature))
        said = (mass * logits.gather(-1, ids)).sum(-1) - log_sum(logits, found)
        return temperature**2 * (self.negative_entropy[part] - said).sum()


def sparse_targets(
    hidden: Tensor,
    rows: Sequence[Tensor],
    temperature: float,
    top: int,
    samples: int,
    generator: torch.Generator,
) -> SparseTargets:
    """The likeliest ``top`` tokens with their probabilities, and ``samples`` draws of all others that share their mass.

    With ``top`` = 0 all is sampled. After Sparse Logit Sampling (arXiv 2503.16870): the likeliest tokens alone would
    teach that nothing else ever follows.

    Args:
        hidden: of the teacher, ``[N, D]``.
        rows: blocks ``[V_i, D]`` of its output embeddings.
        temperature: T, by which its logits are divided.
        top: tokens kept, at most V.
        samples: draws, at least 1.
        generator: of the draws, on the device of ``hidden``.
    """
    vocabulary = sum(map(len, rows))
    size = max(1, CHUNK_LOGITS // vocabulary)
    parts = [
        sparse_distribution(project(hidden[first : first + size], rows).div_(temperature), top, samples, generator)
        for first in range(0, len(hidden), size)
    ]
    if not parts:
        width = min(top, vocabulary) + samples
        return SparseTargets(*(hidden.new_zeros(shape) for shape in ((0, width), (0, width), (0,))))
    columns = ((part.ids, part.mass, part.negative_entropy) for part in parts)
    return SparseTargets(*(torch.cat(column) for column in zip(*columns, strict=True)))


def sparse_distribution(logits: Tensor, top: int, samples: int, generator: torch.Generator) -> SparseTargets:
    """The softmax of ``logits`` ``[N, V]`` float32, kept as `sparse_targets` keeps it."""
    expected = torch.softmax(logits, -1)
    entropy = torch.linalg.vecdot(expected, logits) - log_sum(logits, expected)
    likeliest = expected.topk(min(top, logits.shape[-1]), -1)
    others = expected.scatter_(-1, likeliest.indices, 0)
    missing = others.sum(-1, keepdim=True)
    # where rounding left nothing to draw from, whatever is drawn has no mass
    drawn = torch.multinomial(others + (missing == 0), samples, replacement=True, generator=generator)
    mass = torch.cat([likeliest.values, (missing / samples).expand(-1, samples)], -1)
    return SparseTargets(torch.cat([likeliest.indices, drawn], -1), mass / mass.sum(-1, keepdim=True), entropy)
