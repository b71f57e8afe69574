"""What text costs: next-token cross-entropy and DualVLA Eq. 6 in one pass over the vocabulary, a few tokens at a time.

Logits of a whole batch, their log-probabilities and their gradients are larger than the model where the vocabulary is
large. Here a chunk of tokens is projected, both losses and their gradient by the logits are formed, and that gradient
is carried back through the projection at once; nothing of the size of the vocabulary outlives its chunk but the
gradient of the projection itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

CHUNK_LOGITS = 2**24
"""Logits projected at once: 64 MiB in float32, one such block for the student and one for the teacher."""

_CACHED_LOGITS = 2**18
"""Logits a CPU works through at once after that: what stays in its cache is not read again from memory."""


class ChunkTargets(Protocol):
    """What a teacher says at the n tokens of a chunk."""

    def divergence(self, part: slice, logits: Tensor, gradient: Tensor, temperature: float, weight: float) -> Tensor:
        """The sum ``[]`` of T² KL(teacher ‖ student) over the tokens ``part``.

        Args:
            part: which tokens of the chunk, m of them.
            logits: of the student divided by T, ``[m, V]`` float32; may be overwritten.
            gradient: ``[m, V]``; ``weight`` times the derivative of the sum by the student's logits is added to it.
            temperature: T.
            weight: of the gradient.
        """
        ...


class TextTargets(Protocol):
    """What a teacher says at N supervised tokens."""

    def chunk(self, part: slice) -> ChunkTargets:
        """The tokens ``part`` of it."""
        ...


class TextLoss(NamedTuple):
    """Sums over the supervised tokens, scalars ``[]`` in float32.

    ``total`` = ``language`` + weight x ``distillation`` is the one to differentiate, once.
    """

    total: Tensor
    language: Tensor
    distillation: Tensor


@dataclass(frozen=True)
class DenseTargets:
    """A teacher's hidden states ``[N, D]`` and the rows of its vocabulary; its logits are formed chunk by chunk."""

    hidden: Tensor
    rows: Sequence[Tensor]

    def chunk(self, part: slice) -> ChunkTargets:
        """As in `TextTargets`."""
        return _DenseChunk(project(self.hidden[part], self.rows))


@dataclass(frozen=True)
class _DenseChunk:
    """A teacher's logits ``[n, V]``, which are used up."""

    logits: Tensor

    def divergence(self, part: slice, logits: Tensor, gradient: Tensor, temperature: float, weight: float) -> Tensor:
        """As in `ChunkTargets`, over the whole vocabulary."""
        wanted = self.logits[part].div_(temperature)
        found, expected = torch.softmax(logits, -1), torch.softmax(wanted, -1)
        log_sums = log_sum(logits, found) - log_sum(wanted, expected)
        gradient.add_(found.sub_(expected), alpha=weight * temperature)
        # Σ p (log p - log q) with log p = wanted - log sum, log q = logits - log sum, and Σ p = 1
        divergence: Tensor = torch.linalg.vecdot(expected, wanted.sub_(logits)) + log_sums
        return temperature**2 * divergence.sum()


def text_loss(
    hidden: Tensor,
    rows: Sequence[Tensor],
    labels: Tensor,
    teacher: TextTargets | None = None,
    temperature: float = 1.0,
    weight: float = 0.0,
) -> TextLoss:
    """Cross-entropy at N supervised tokens and, with a ``teacher``, DualVLA Eq. 6; all in float32.

    Args:
        hidden: ``[N, D]``.
        rows: blocks ``[V_i, D]`` of the output embeddings, V tokens together; only those that train get a gradient.
        labels: ``[N]``, the next tokens.
        teacher: of the same N tokens and V.
        temperature: T of Eq. 6.
        weight: of the distillation in ``total``, λ of Eq. 7.
    """
    differentiate = torch.is_grad_enabled()
    arguments = (hidden, labels, teacher, temperature, weight, differentiate, *rows)
    return TextLoss(*_TextLoss.apply(*arguments))  # type: ignore[no-untyped-call]


def project(hidden: Tensor, rows: Sequence[Tensor]) -> Tensor:
    """Logits ``[n, V]`` in float32 of hidden states ``[n, D]`` by blocks of output embeddings ``[V_i, D]``."""
    blocks = [linear(hidden, block).float() for block in rows]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, -1)


class _TextLoss(torch.autograd.Function):
    """Forms its gradients in the forward pass, where the logits are."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        labels: Tensor,
        teacher: TextTargets | None,
        temperature: float,
        weight: float,
        differentiate: bool,
        *rows: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        wanted = [differentiate and needed for needed in (ctx.needs_input_grad[0], *ctx.needs_input_grad[-len(rows) :])]
        gradients = [
            torch.zeros_like(each, dtype=torch.float32) if needed else None
            for each, needed in zip((hidden, *rows), wanted, strict=True)
        ]
        language, distillation = hidden.new_zeros(2, dtype=torch.float32).unbind()
        size = max(1, CHUNK_LOGITS // sum(map(len, rows)))
        for first in range(0, len(hidden), size):
            part = slice(first, first + size)
            logits, following = project(hidden[part], rows), labels[part]
            targets = None if teacher is None else teacher.chunk(part)
            own = len(logits) if logits.is_cuda else max(1, _CACHED_LOGITS // logits.shape[1])
            for start in range(0, len(logits), own):
                block = slice(start, start + own)
                said, taught = _differentiate(logits, following, block, targets, temperature, weight)
                language += said
                distillation += taught
            _carry_back(logits, part, hidden, rows, gradients)
        ctx.gradients = [
            None if own is None else own.to(each.dtype) for own, each in zip(gradients, (hidden, *rows), strict=True)
        ]
        ctx.mark_non_differentiable(language, distillation)
        return language + weight * distillation, language, distillation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, total: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None  # scaled in place: a second copy would double the peak
        for each in gradients:
            if each is not None:
                each.mul_(total)
        return gradients[0], None, None, None, None, None, *gradients[1:]


def _differentiate(
    logits: Tensor,
    labels: Tensor,
    block: slice,
    targets: ChunkTargets | None,
    temperature: float,
    weight: float,
) -> tuple[Tensor, Tensor | float]:
    """Both losses of a block of a chunk's tokens, whose logits their gradient replaces."""
    own, following = logits[block], labels[block, None]
    gradient = torch.softmax(own, -1)
    language = (log_sum(own, gradient) - own.gather(-1, following)[:, 0]).sum()
    gradient.scatter_add_(-1, following, gradient.new_full((), -1.0).expand_as(following))
    distillation: Tensor | float = 0.0
    if targets is not None:
        distillation = targets.divergence(block, own.div_(temperature), gradient, temperature, weight)
    own.copy_(gradient)
    return language, distillation


def _carry_back(
    gradient: Tensor, part: slice, hidden: Tensor, rows: Sequence[Tensor], gradients: Sequence[Tensor | None]
) -> None:
    """Add what the gradient by a chunk of logits means for its hidden states and for the rows."""
    of_hidden, *of_rows = gradients
    first = 0
    for block, total in zip(rows, of_rows, strict=True):
        own = gradient[:, first : first + len(block)].to(block.dtype)
        first += len(block)
        if of_hidden is not None:
            _add_product(of_hidden[part], own, block)
        if total is not None:
            _add_product(total, own.T, hidden[part])


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``, summed in the precision of ``total``."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(left @ right)


def log_sum(logits: Tensor, probabilities: Tensor) -> Tensor:
    """log Σ exp of each row ``[n]``, read off its softmax: that of the largest logit is at least 1 / V."""
    return logits.amax(-1) - probabilities.amax(-1).log()
