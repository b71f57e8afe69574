"""Convolutions over time on numbers that describe every frame, and their training on whole episodes.

A network of this kind sees a whole episode at once and knows where the recording begins and ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dualvla_core.events.config import TemporalNetConfig
from dualvla_core.progress import Progress, silent

_STILL = 1e-3  # least spread that numbers are scaled by: what never changes is not blown up


class TemporalNet(nn.Module):
    """Dilated convolutions with short cuts over a sequence of vectors.

    Args:
        params: sizes.
        channels: numbers that describe a frame.
        outputs: numbers said of it.
    """

    def __init__(self, params: TemporalNetConfig, channels: int, outputs: int) -> None:
        super().__init__()
        width = params.width
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("unit", torch.ones(outputs))
        self.enter = nn.Conv1d(channels + 1, width, 1)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width, width, params.kernel, padding=params.kernel // 2 * dilation, dilation=dilation)
            for dilation in params.dilations
        )
        self.leave = nn.Conv1d(width, outputs, 1)
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, sequence: Tensor, inside: Tensor) -> Tensor:
        """Outputs ``[B, T, O]`` of ``sequence`` ``[B, T, C]``; ``inside`` ``[B, T]``: 1 on frames, 0 on padding."""
        mask = inside[:, None]
        hidden = self.enter(torch.cat([(sequence / self.get_buffer("spread")).transpose(1, 2), mask], dim=1)) * mask
        for block in self.blocks:
            hidden = hidden + self.dropout(functional.relu(block(functional.relu(hidden) * mask)))
        outputs: Tensor = self.leave(functional.relu(hidden)).transpose(1, 2) * self.get_buffer("unit")
        return outputs


@torch.inference_mode()
def averaged(
    networks: nn.ModuleList, sequence: NDArray[np.float32], said: Callable[[Tensor], Tensor] = torch.asarray
) -> Tensor:
    """Mean of what each of the ``networks`` (`TemporalNet`) says of one episode's ``sequence`` ``[T, C]``: ``[T, O]``.

    What it says is its output, or what ``said`` makes of that.
    """
    batch, inside = torch.from_numpy(sequence)[None], torch.ones(1, len(sequence))
    return torch.stack([said(network(batch, inside)[0]) for network in networks]).mean(0)


class Lesson(NamedTuple):
    """What networks learn: per episode the sequence they are given and what they should say of it."""

    inputs: Sequence[Tensor]
    """``[T, C]`` each."""
    wanted: Sequence[Tensor]
    """``[T, O]`` each."""
    error: Callable[[Tensor, Tensor], Tensor]
    """Of outputs and what was wanted ``[B, T, O]``, the error of each number."""
    varied: Callable[[Tensor], Tensor] = lambda sequence: sequence
    """A sequence ``[T, C]`` as it may look as well, drawn anew for each step."""
    scaled: bool = False
    """Whether outputs count in the spread of what is wanted."""


def train_networks(
    params: TemporalNetConfig, lesson: Lesson, members: int, seed: int, progress: Progress = silent
) -> tuple[nn.ModuleList, float]:
    """``members`` networks that learned the ``lesson``, and their mean loss over the last tenth of the steps.

    Each step takes whole episodes, drawn with replacement. Members differ in what they drew. There are no checkpoints:
    these are trainings of seconds.
    """
    networks, losses = nn.ModuleList(), []
    for member in range(members):
        drawn = int(np.random.SeedSequence([seed, member]).generate_state(1)[0])
        before = member * params.steps
        network, loss = _train(
            params, lesson, drawn, lambda done, total, past=before: progress(past + done, members * total)
        )
        networks.append(network)
        losses.append(loss)
    return networks.eval(), sum(losses) / members


def _train(params: TemporalNetConfig, lesson: Lesson, seed: int, progress: Progress) -> tuple[TemporalNet, float]:
    draws = np.random.default_rng(seed)
    losses: list[float] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = TemporalNet(params, lesson.inputs[0].shape[1], lesson.wanted[0].shape[1])
        network.get_buffer("spread").copy_(_spread(lesson.inputs))
        if lesson.scaled:
            network.get_buffer("unit").copy_(_spread(lesson.wanted))
        optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, params.steps)
        for step in range(params.steps):
            chosen = draws.integers(0, len(lesson.inputs), params.episodes_per_step).tolist()
            batch = _padded([lesson.varied(lesson.inputs[each]) for each in chosen])
            wanted, inside = (_padded([parts[each] for each in chosen]) for parts in (lesson.wanted, _ones(lesson)))
            unit = network.get_buffer("unit")
            errors = lesson.error(network(batch, inside[..., 0]) / unit, wanted / unit)
            loss = (errors * inside).sum() / (inside.sum() * len(unit))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            progress(step + 1, params.steps)
    recent = losses[-max(1, len(losses) // 10) :]
    return network, sum(recent) / len(recent)


def _spread(parts: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(parts)).std(0, correction=0).clamp_min(_STILL)


def _ones(lesson: Lesson) -> list[Tensor]:
    return [torch.ones(len(each), 1) for each in lesson.inputs]


def _padded(parts: Sequence[Tensor]) -> Tensor:
    """Episodes ``[T, C]`` side by side ``[B, T, C]``."""
    return nn.utils.rnn.pad_sequence(list(parts), batch_first=True)
