"""A policy small enough to check by hand, that counts how often it is asked, and batches for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from dualvla_core.models.batches import MultimodalBatch, RobotBatch, TextBatch

VOCABULARY, QUERIES, CHUNK, ACTION, STATE = 13, 2, 3, 2, 4
IGNORED = -100
IMAGE, QUERY, END = 1, 10, 12  # token ids


class TinyPolicy(nn.Module):
    """An embedding with a running mean: causal, and fed by images, text, state, noise and time."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCABULARY, 8)
        self.pixels = nn.Linear(3, 8)
        self.head = nn.Linear(8, VOCABULARY, bias=False)
        self.flow = nn.Linear(QUERIES * 8 + 8 + STATE + CHUNK * ACTION + 1, CHUNK * ACTION)
        self.encoded: list[Tensor] = []
        self.flowed: list[tuple[Tensor, Tensor]] = []
        self.spoken = 0

    def encode(self, images: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.encoded.append(input_ids)
        seen = self.embedding(input_ids) + self.pixels(images.mean(dim=(1, 3, 4)))[:, None]
        seen = torch.tanh(seen) * attention_mask[..., None]
        return seen.cumsum(1) / attention_mask.cumsum(1)[..., None]

    @property
    def text_rows(self) -> tuple[Tensor, ...]:
        self.spoken += 1
        return (self.head.weight,)

    def latents(self, hidden: Tensor, query_mask: Tensor) -> Tensor:
        return hidden[query_mask].view(len(hidden), QUERIES, -1)

    def visual_features(self, hidden: Tensor, input_ids: Tensor) -> Tensor:
        return hidden[input_ids == IMAGE].view(len(hidden), -1, hidden.shape[-1])

    def velocity(
        self, latents: Tensor, visual: Tensor | None, state: Tensor | None, noisy: Tensor, time: Tensor
    ) -> Tensor:
        self.flowed.append((noisy, time))
        assert visual is not None
        assert state is not None
        draws = len(noisy) // len(latents)
        condition = torch.cat([latents.flatten(1), visual.mean(1), state], 1).repeat(draws, 1)
        inputs = torch.cat([condition, noisy.flatten(1), time[:, None]], 1)
        return torch.tanh(self.flow(inputs)).view_as(noisy)


def text(reasoning: list[list[int]]) -> TextBatch:
    """Robot turns: an image, an instruction token, the reasoning, two action queries and the end."""
    rows = [[IMAGE, 2, *said, QUERY, QUERY + 1, END] for said in reasoning]
    length = max(map(len, rows))
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows])
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, :2] = IGNORED
    return TextBatch(ids, mask, labels, (ids == QUERY) | (ids == QUERY + 1))


@pytest.fixture
def policy() -> Callable[[int], TinyPolicy]:
    """Makes a policy from a seed."""
    return TinyPolicy


@pytest.fixture
def robot_batch() -> RobotBatch:
    """Four frames, two of them with reasoning, one near the end of its episode."""
    generator = torch.Generator().manual_seed(7)
    said, plain = text([[3, 4, 5], [], [6], []]), text([[], [], [], []])
    is_padding = torch.zeros(4, CHUNK, dtype=torch.bool)
    is_padding[3, 1:] = True
    return RobotBatch(
        images=torch.rand(4, 1, 3, 2, 2, generator=generator),
        input_ids=said.input_ids,
        attention_mask=said.attention_mask,
        labels=said.labels,
        query_mask=said.query_mask,
        state=torch.rand(4, STATE, generator=generator),
        actions=torch.rand(4, CHUNK, ACTION, generator=generator),
        is_padding=is_padding,
        plain=plain,
    )


@pytest.fixture
def multimodal_batch() -> MultimodalBatch:
    """Two questions with answers of one and two tokens, and the end."""
    ids = torch.tensor([[IMAGE, 7, 8, END, 0], [IMAGE, 7, 9, 3, END]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])
    labels = ids.masked_fill(mask == 0, IGNORED)
    labels[:, :2] = IGNORED
    return MultimodalBatch(torch.rand(2, 1, 3, 2, 2, generator=torch.Generator().manual_seed(8)), ids, mask, labels)
