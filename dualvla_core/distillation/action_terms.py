"""The loss of an action head on a batch, and how far two heads are apart on it (DualVLA Eq. 5).

Policies with a discrete head give logits of bins, so that Eq. 5 is the softmax KL it is printed as; those with a flow
head a velocity at noise and times that student and teacher share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

from torch import Tensor
from torch.nn.functional import cross_entropy, log_softmax

from dualvla_core.distillation.losses import (
    FlowNoise,
    Mean,
    action_kd_loss,
    flow_matching_loss,
    mean_over_steps,
    noisy_actions,
    target_velocity,
)
from dualvla_core.distillation.sparse import SparseTargets
from dualvla_core.models.bin_expert import bins_of

Prediction: TypeAlias = Tensor | SparseTargets
"""Velocities, logits of bins, or what a cache kept of the latter."""


class ActingPolicy(Protocol):
    """What is asked of a policy's action head, of one kind or the other; `models.DualVLA` is one."""

    def velocity(
        self, latents: Tensor, visual: Tensor | None, state: Tensor | None, noisy: Tensor, time: Tensor
    ) -> Tensor:
        """Velocity ``[R * B, T, A]`` of R noise draws per sample."""
        ...

    def action_logits(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Tensor:
        """Logits of bins ``[B, T, A, bins]``."""
        ...


class ActionTerms(Protocol):
    """What one batch of actions asks of a policy."""

    @property
    def name(self) -> str:
        """Of the loss in the record."""
        ...

    def predict(self, policy: ActingPolicy, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Tensor:
        """What `loss` and `distance` compare, from ``[B, K, D]``, ``[B, N, D]`` and ``[B, S]``."""
        ...

    def loss(self, predicted: Tensor) -> Mean:
        """How far a prediction is from what was demonstrated."""
        ...

    def distance(self, teacher: Prediction, student: Tensor, temperature: float) -> Mean:
        """T² KL(teacher ‖ student) of two predictions."""
        ...


@dataclass(frozen=True)
class FlowTerms:
    """Flow matching on R noise draws of each chunk.

    Args:
        actions: ``[R * B, T, A]`` normalised, as ``repeat(R, 1, 1)`` orders them.
        is_padding: ``[R * B, T]``.
        drawn: noise and times of all of them.
    """

    actions: Tensor
    is_padding: Tensor
    drawn: FlowNoise
    name: str = "flow"

    def predict(self, policy: ActingPolicy, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Tensor:
        """Velocity ``[R * B, T, A]``. See `ActionTerms.predict`."""
        noisy = noisy_actions(self.actions, self.drawn).to(latents.dtype)
        return policy.velocity(latents, visual, state, noisy, self.drawn.time)

    def loss(self, predicted: Tensor) -> Mean:
        """See `flow_matching_loss`."""
        return flow_matching_loss(predicted, target_velocity(self.actions, self.drawn), self.is_padding)

    def distance(self, teacher: Prediction, student: Tensor, temperature: float) -> Mean:
        """See `action_kd_loss`."""
        assert isinstance(teacher, Tensor)
        return action_kd_loss(teacher, student, self.is_padding, temperature)


@dataclass(frozen=True)
class BinTerms:
    """Cross-entropy of bins.

    Args:
        actions: ``[B, T, A]`` normalised.
        is_padding: ``[B, T]``.
    """

    actions: Tensor
    is_padding: Tensor
    name: str = "bins"

    def predict(self, policy: ActingPolicy, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Tensor:
        """Logits ``[B, T, A, bins]``. See `ActionTerms.predict`."""
        return policy.action_logits(latents, visual, state)

    def loss(self, predicted: Tensor) -> Mean:
        """Cross-entropy with the bin of each demonstrated action; padding does not count (DualVLA Eq. 2)."""
        targets = bins_of(self.actions, predicted.shape[-1])
        values = cross_entropy(predicted.float().movedim(-1, 1), targets, reduction="none")
        return mean_over_steps(values, self.is_padding)

    def distance(self, teacher: Prediction, student: Tensor, temperature: float) -> Mean:
        """DualVLA Eq. 5 as printed: T² KL between the two softmaxes at every action position, padding left out.

        What a cache kept was divided by the temperature then, and its divergence is right on average.
        """
        predicted = log_softmax(student.float() / temperature, -1)
        if isinstance(teacher, SparseTargets):
            said = (teacher.mass * predicted.flatten(0, -2).gather(-1, teacher.ids)).sum(-1)
            divergence = (teacher.negative_entropy - said).view(predicted.shape[:-1])
        else:
            expected = log_softmax(teacher.detach().float() / temperature, -1)
            divergence = (expected.exp() * (expected - predicted)).sum(-1)
        return mean_over_steps(temperature**2 * divergence, self.is_padding)
