"""DDM-Net: event boundaries from dense difference maps and progressive attention (Tang et al., CVPR 2022).

Written from the published description. What it does with the window of ``T`` frames around a candidate:

1. Each frame's features come from three levels of a backbone. Every level is seen through a short, a middle and a long
   temporal branch: nine sequences.
2. Each sequence gives a dense difference map, minus the distance of every pair of frames. A small residual network
   encodes the nine maps, and attention turns the encoded map back into a sequence.
3. Learnable queries read the appearance sequence and the difference sequence, each in a decoder of its own; then the
   two sets of queries attend to each other. Each layer of that gives two logits, and so does their weighted sum.

The backbone sees single frames only, so its features are computed once per frame and reused by every window
(`ddm_detector`): with ResNet-50 and 11 frames that is about 8.5 times less arithmetic, for the same scores.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dualvla_core.events.config import DDMNetworkConfig


class Logits(NamedTuple):
    """``[L, B, 2]`` of each layer: from appearance, from differences, and fused."""

    appearance: Tensor
    differences: Tensor
    fused: Tensor


class DDMNet(nn.Module):
    """The network behind the backbone.

    Args:
        params: sizes.
        channels: of the backbone's three levels, fine to coarse.
    """

    def __init__(self, params: DDMNetworkConfig, channels: tuple[int, ...]) -> None:
        super().__init__()
        width = params.width
        self.centred = params.centred
        self.projections = nn.ModuleList(LevelProjection(size, width) for size in channels)
        self.branches = nn.ModuleList(TemporalBranches(width) for _ in channels)
        self.normalise = nn.InstanceNorm2d(3 * len(channels))
        self.encoder = MapEncoder(3 * len(channels), params.map_channels)
        self.to_sequence = MapToSequence(width, params.map_channels[-1])
        self.register_buffer("positions", sine_positions(params.frames, width), persistent=False)
        self.appearance, self.differences = QueryDecoder(params), QueryDecoder(params)
        self.crossing = CoAttention(params)

    def forward(self, levels: list[Tensor]) -> Logits:
        """Logits of ``B`` windows from the backbone's features ``[B, T, C]`` of each level."""
        if self.centred:
            levels = [level - level.mean(1, keepdim=True) for level in levels]
        sequences = [project(level) for project, level in zip(self.projections, levels, strict=True)]
        views = [branch(sequence) for branch, sequence in zip(self.branches, sequences, strict=True)]
        maps = self.encoder(self.normalise(difference_maps(torch.cat(views, dim=1))))
        appearance = self.appearance(sequences[-1], self.positions)
        differences = self.differences(self.to_sequence(sequences[-1], maps), self.positions)
        logits: Logits = self.crossing(appearance, differences)
        return logits

    def score(self, levels: list[Tensor]) -> Tensor:
        """Boundary probability ``[B]`` of each window: the last layer's fused logits."""
        logits: Logits = self(levels)
        return logits.fused[-1].softmax(-1)[:, 1]


def boundary_loss(logits: Logits, labels: Tensor) -> Tensor:
    """Cross entropy with the classes ``[B]``, summed over the layers and the three kinds of logits."""
    every = torch.cat(logits)  # [3 L, B, 2]
    return functional.cross_entropy(every.flatten(0, 1), labels.repeat(len(every))) * len(every)


class LevelProjection(nn.Module):
    """Brings a level to the common width; a level that has it already is taken as it is."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        layers = [nn.Linear(channels, width), nn.ReLU(), nn.Linear(width, width)]
        self.layers = nn.Sequential(*(layers if channels != width else []))

    def forward(self, level: Tensor) -> Tensor:
        """``[B, T, C]`` to ``[B, T, width]``."""
        projected: Tensor = self.layers(level)
        return projected


class TemporalBranches(nn.Module):
    """A sequence as it is seen over one, three and five frames."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.short = nn.Conv1d(width, width, 1)
        self.middle = nn.Conv1d(width, width, 3, padding=1)
        self.long = nn.Conv1d(width, width, 3, padding=1)

    def forward(self, sequence: Tensor) -> Tensor:
        """``[B, T, width]`` to ``[B, 3, T, width]``."""
        x = sequence.transpose(1, 2)
        middle = (self.middle(x) + x) / 2
        views = ((self.short(x) + x) / 2, middle, (self.long(middle) + middle) / 2)
        return torch.stack(views, dim=1).transpose(2, 3)


def difference_maps(sequences: Tensor) -> Tensor:
    """``[B, N, T, width]`` to ``[B, N, T, T]``: minus the Euclidean distance of each pair of frames.

    The gradient flows through the row's frame only, and is 0 where two frames are equal.
    """
    rows = sequences.flatten(0, 1)
    # the direct form: through a matrix product, near frames lose their digits
    apart = torch.cdist(rows, rows.detach(), compute_mode="donot_use_mm_for_euclid_dist")
    return -apart.reshape(*sequences.shape[:3], -1)


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a 1 x 1 short cut; the map keeps its size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, inputs, T, T]`` to ``[B, outputs, T, T]``."""
        return functional.relu(self.second(functional.relu(self.first(x))) + self.shortcut(x))


class MapEncoder(nn.Sequential):
    """Encodes the stacked difference maps; no stride, for a map is only ``T`` wide."""

    def __init__(self, maps: int, channels: tuple[int, ...]) -> None:
        super().__init__(*(ResidualBlock(*pair) for pair in zip((maps, *channels), channels, strict=False)))


class MapToSequence(nn.Module):
    """Reads the encoded map row by row: each frame attends over its differences to all frames, then convolves."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(channels, width)
        self.weight = nn.Linear(width, 1)
        self.convolutions = nn.Sequential(
            nn.Conv1d(channels, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(width, width, 1),
            nn.ReLU(),
            nn.Conv1d(width, width, 1),
        )

    def forward(self, sequence: Tensor, maps: Tensor) -> Tensor:
        """``[B, T, width]`` and ``[B, C, T, T]`` to ``[B, T, width]``."""
        rows = maps.permute(0, 2, 3, 1)  # [B, T, T, C]
        attention = self.weight(torch.tanh(self.query(sequence).unsqueeze(2) + self.key(rows))).softmax(2)
        read = (attention * rows).sum(2).transpose(1, 2)  # [B, C, T]
        convolved: Tensor = self.convolutions(read)
        return convolved.transpose(1, 2)


class DecoderLayer(nn.Module):
    """A layer of DETR's decoder: self-attention, cross-attention, feed-forward, each normalised after its sum."""

    def __init__(self, params: DDMNetworkConfig) -> None:
        super().__init__()
        width = params.width
        self.attend_self = nn.MultiheadAttention(width, params.heads, params.dropout, batch_first=True)
        self.attend_memory = nn.MultiheadAttention(width, params.heads, params.dropout, batch_first=True)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, params.feed_forward),
            nn.ReLU(),
            nn.Dropout(params.dropout),
            nn.Linear(params.feed_forward, width),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, queries: Tensor, memory: Tensor, places: Tensor, positions: Tensor | None) -> Tensor:
        """Queries ``[B, Q, width]`` read ``memory`` ``[B, M, width]``; ``places`` ``[Q, width]`` tell queries apart."""
        placed = queries + places
        queries = self.norms[0](queries + self.dropout(self.attend_self(placed, placed, queries)[0]))
        keys = memory if positions is None else memory + positions
        read = self.attend_memory(queries + places, keys, memory)[0]
        queries = self.norms[1](queries + self.dropout(read))
        out: Tensor = self.norms[2](queries + self.dropout(self.feed_forward(queries)))
        return out


class QueryDecoder(nn.Module):
    """Learnable queries that read one sequence."""

    def __init__(self, params: DDMNetworkConfig) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(params.queries, params.width))
        self.layers = nn.ModuleList(DecoderLayer(params) for _ in range(params.layers))

    def forward(self, sequence: Tensor, positions: Tensor) -> Tensor:
        """``[B, T, width]`` to the queries ``[B, Q, width]`` after the last layer."""
        queries = torch.zeros(len(sequence), *self.places.shape, device=sequence.device, dtype=sequence.dtype)
        for layer in self.layers:
            queries = layer(queries, sequence, self.places, positions)
        return queries


class CoAttention(nn.Module):
    """The queries of appearance and of differences read each other, layer after layer."""

    def __init__(self, params: DDMNetworkConfig) -> None:
        super().__init__()
        self.places = nn.ParameterList(nn.Parameter(torch.randn(params.queries, params.width)) for _ in range(2))
        self.layers = nn.ModuleList(nn.ModuleList(DecoderLayer(params) for _ in range(params.layers)) for _ in range(2))
        self.classify = nn.ModuleList(nn.Linear(params.width, 2) for _ in range(2))
        self.balance = nn.Parameter(torch.zeros(params.layers))

    def forward(self, appearance: Tensor, differences: Tensor) -> Logits:
        """Two sets of queries ``[B, Q, width]`` to logits ``[L, B, 2]`` of each layer."""
        kinds = [
            self._read(0, appearance, memory=differences),
            self._read(1, differences, memory=appearance),
        ]
        share = self.balance.sigmoid()[:, None, None]
        return Logits(kinds[0], kinds[1], (1 - share) * kinds[0] + share * kinds[1])

    def _read(self, kind: int, queries: Tensor, memory: Tensor) -> Tensor:
        logits = []
        layers = self.layers[kind]
        assert isinstance(layers, nn.ModuleList)
        for layer in layers:
            queries = layer(queries, memory, self.places[kind], None)
            logits.append(self.classify[kind](queries.mean(1)))
        return torch.stack(logits)


def sine_positions(length: int, width: int) -> Tensor:
    """Sine and cosine of geometrically spaced frequencies ``[length, width]`` (Vaswani et al. 2017)."""
    frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
    angle = torch.arange(length)[:, None] * frequency
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
