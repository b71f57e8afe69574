"""What one batch teaches a policy: the VLA loss, and the student besides what the teacher of its domain would do.

A batch is of one domain, on every process. Robot data teach text and actions, multimodal data text; the student hears
the action teacher on the former and the reasoning teacher on the latter (DualVLA Eq. 7). So a batch costs at most one
forward of a teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from dualvla_core.distillation.action_terms import ActingPolicy, ActionTerms, BinTerms, FlowTerms
from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.distillation.losses import (
    FlowNoise,
    Mean,
    draw_flow_noise,
    language_loss,
    reasoning_kd_loss,
)
from dualvla_core.distillation.ranks import ALONE, Ranks
from dualvla_core.models.batches import MultimodalBatch, RobotBatch, TextBatch
from dualvla_core.models.prompts import IGNORED

Batch: TypeAlias = RobotBatch | MultimodalBatch


class Policy(ActingPolicy, Protocol):
    """What the objective asks of a vision-language-action model, student or teacher; `models.DualVLA` is one."""

    def encode(self, images: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states ``[B, L, D]`` of images ``[B, C, 3, H, W]`` and tokens ``[B, L]``."""
        ...

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Logits ``[N, V]`` of the token after each hidden state ``[N, D]``."""
        ...

    def latents(self, hidden: Tensor, query_mask: Tensor) -> Tensor:
        """Latent actions ``[B, K, D]`` at the action queries."""
        ...

    def visual_features(self, hidden: Tensor, input_ids: Tensor) -> Tensor:
        """Image features ``[B, N, D]`` for the action head."""
        ...


class Step(NamedTuple):
    """The loss to differentiate ``[]``, and the detached terms it is made of, by name; means over all processes' data.

    Each process holds its share: their average is the value of the global batch.
    """

    loss: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Teachers:
    """The frozen teachers of the student; None leaves a domain without distillation (the paper's ablation)."""

    config: DistillationConfig
    action: Policy | None
    reasoning: Policy | None


@dataclass(frozen=True)
class Objective:
    """The loss of a training.

    L = L_LM + L_action on robot batches, L_LM on multimodal ones (InstructVLA), plus λ L_KD with ``teachers``. Without
    them it is that of specialist and generalist; which of the two is a matter of the data.

    Args:
        teachers: of the student; None for specialist and generalist.
        flow_draws: noise draws per robot sample; they share the cost of the backbone.
        ranks: the processes of the training; losses are means over the batches of all of them.
        action_head: of student and action teacher; L_action is flow matching or the cross-entropy of bins.
    """

    teachers: Teachers | None = None
    flow_draws: int = 1
    ranks: Ranks = ALONE
    action_head: Literal["flow", "discrete"] = "flow"

    def step(self, student: Policy, batch: Batch, generator: torch.Generator) -> Step:
        """The loss of ``batch``; ``generator`` (seeded alike on every process) draws noise and time."""
        if isinstance(batch, RobotBatch):
            return self._robot(student, batch, generator)
        return self._multimodal(student, batch)

    def _robot(self, student: Policy, batch: RobotBatch, generator: torch.Generator) -> Step:
        terms = self._action_terms(batch, generator)
        hidden = student.encode(batch.images, batch.input_ids, batch.attention_mask)
        logits, targets = _supervised(student, hidden, batch.labels)
        predicted = _actions(student, hidden, batch, batch, terms)
        losses = {
            "language": (1.0, language_loss(logits, targets)),
            terms.name: (1.0, terms.loss(predicted)),
        }
        if self.teachers is not None and self.teachers.action is not None:
            teacher, config = self.teachers.action, self.teachers.config
            with torch.no_grad():
                seen = teacher.encode(batch.images, batch.plain.input_ids, batch.plain.attention_mask)
                wanted = _actions(teacher, seen, batch, batch.plain, terms)
            distance = terms.distance(wanted, predicted, config.temperature)
            losses["action_distillation"] = (config.weight, distance)
        return self._sum(losses)

    def _multimodal(self, student: Policy, batch: MultimodalBatch) -> Step:
        hidden = student.encode(batch.images, batch.input_ids, batch.attention_mask)
        logits, targets = _supervised(student, hidden, batch.labels)
        losses = {"language": (1.0, language_loss(logits, targets))}
        if self.teachers is not None and self.teachers.reasoning is not None:
            teacher, config = self.teachers.reasoning, self.teachers.config
            with torch.no_grad():
                seen = teacher.encode(batch.images, batch.input_ids, batch.attention_mask)
                wanted, _ = _supervised(teacher, seen, batch.labels)
            losses["reasoning_distillation"] = (config.weight, reasoning_kd_loss(wanted, logits, config.temperature))
        return self._sum(losses)

    def _action_terms(self, batch: RobotBatch, generator: torch.Generator) -> ActionTerms:
        if self.action_head == "discrete":
            return BinTerms(batch.actions, batch.is_padding)
        draws = self.flow_draws
        drawn = self._flow_noise(batch.actions, generator)
        return FlowTerms(batch.actions.repeat(draws, 1, 1), batch.is_padding.repeat(draws, 1), drawn)

    def _flow_noise(self, actions: Tensor, generator: torch.Generator) -> FlowNoise:
        """Noise for the whole global batch, of which this process keeps its own: the same with any number of them."""
        batch, chunk, width = actions.shape
        every = draw_flow_noise((self.flow_draws, batch * self.ranks.size, chunk, width), generator)
        own = slice(self.ranks.rank, None, self.ranks.size)
        noise, time = every.noise[:, own].flatten(0, 1), every.time[:, own].flatten()
        return FlowNoise(noise.to(actions), time.to(actions.device))

    def _sum(self, losses: dict[str, tuple[float, Mean]]) -> Step:
        """Add the weighted terms, each divided by its mean count over the processes."""
        counts = self.ranks.average(torch.stack([mean.count for _, mean in losses.values()])).clamp(min=1)
        terms = {
            name: mean.total / count for (name, (_, mean)), count in zip(losses.items(), counts.unbind(), strict=True)
        }
        loss = torch.stack([weight * terms[name] for name, (weight, _) in losses.items()]).sum()
        return Step(loss, {"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}})


def _supervised(policy: Policy, hidden: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits ``[N, V]`` and targets ``[N]`` where a next token is supervised; others cost no vocabulary projection."""
    following = labels[:, 1:]
    supervised = following != IGNORED
    return policy.text_logits(hidden[:, :-1][supervised]), following[supervised]


def _actions(
    policy: Policy, hidden: Tensor, batch: RobotBatch, text: RobotBatch | TextBatch, terms: ActionTerms
) -> Tensor:
    latents = policy.latents(hidden, text.query_mask)
    state = None if batch.state is None else batch.state.to(hidden.dtype)
    return terms.predict(policy, latents, policy.visual_features(hidden, text.input_ids), state)
