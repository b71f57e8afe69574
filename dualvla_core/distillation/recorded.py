"""What teachers said beforehand, as parts of a batch: then no teacher is asked while the student trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dualvla_core.distillation.losses import FlowNoise
from dualvla_core.distillation.sparse import SparseTargets
from dualvla_core.models.batches import MultimodalBatch, RobotBatch


class Choice(NamedTuple):
    """R recorded draws of each of B samples, in the order of ``actions.repeat(R, 1, 1)``."""

    flow: FlowNoise
    velocity: Tensor
    """``[R * B, T, A]``."""


@dataclass(frozen=True)
class TaughtRobotBatch(RobotBatch):
    """Frames with the action teacher's velocity at M recorded draws of noise and time."""

    noise: Tensor
    """``[B, M, T, A]``."""
    time: Tensor
    """``[B, M]``."""
    velocity: Tensor
    """``[B, M, T, A]``."""

    def chosen(self, draws: Tensor) -> Choice:
        """The recorded draws ``[R, B]``."""
        rows = torch.arange(draws.shape[1], device=draws.device).expand_as(draws).flatten()
        columns = draws.flatten()
        flow = FlowNoise(self.noise[rows, columns], self.time[rows, columns])
        return Choice(flow, self.velocity[rows, columns])


@dataclass(frozen=True)
class TaughtBinsBatch(RobotBatch):
    """Frames with what the action teacher's discrete head said of each of the T * A numbers of their chunks."""

    ids: Tensor
    """``[B, T * A, K]``, as in `SparseTargets`."""
    mass: Tensor
    negative_entropy: Tensor

    @property
    def targets(self) -> SparseTargets:
        """The teacher's word, sample after sample."""
        return SparseTargets(self.ids.flatten(0, 1), self.mass.flatten(0, 1), self.negative_entropy.flatten())


@dataclass(frozen=True)
class TaughtMultimodalBatch(MultimodalBatch):
    """Questions with the reasoning teacher's word at the N supervised tokens, sample after sample."""

    ids: Tensor
    """``[N, K]``, as in `SparseTargets`."""
    mass: Tensor
    negative_entropy: Tensor

    @property
    def targets(self) -> SparseTargets:
        """The teacher's word."""
        return SparseTargets(self.ids, self.mass, self.negative_entropy)
