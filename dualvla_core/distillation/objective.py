"""What one batch teaches a policy: the VLA loss, and the student besides what the teacher of its domain would do.

A batch is of one domain, on every process. Robot data teach text and actions, multimodal data text; the student hears
the action teacher on the former and the reasoning teacher on the latter (DualVLA Eq. 7). So a batch costs at most one
forward of a teacher.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
)
from dualvla_core.distillation.ranks import ALONE, Ranks
from dualvla_core.distillation.recorded import Choice, TaughtMultimodalBatch, TaughtRobotBatch
from dualvla_core.distillation.text_loss import DenseTargets, TextTargets, text_loss
from dualvla_core.models.batches import MultimodalBatch, RobotBatch, TextBatch
from dualvla_core.models.prompts import IGNORED

Batch: TypeAlias = RobotBatch | MultimodalBatch


class Policy(ActingPolicy, Protocol):
    """What the objective asks of a vision-language-action model, student or teacher; `models.DualVLA` is one."""

    def encode(self, images: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Hidden states ``[B, L, D]`` of images ``[B, C, 3, H, W]`` and tokens ``[B, L]``."""
        ...

    @property
    def text_rows(self) -> Sequence[Tensor]:
        """Blocks ``[V_i, D]`` of the output embeddings, the vocabulary V together."""
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
    """The frozen teachers of the student; None leaves a domain without distillation (the paper's ablation).

    Batches that bring what a teacher said (`TaughtRobotBatch`, `TaughtMultimodalBatch`) need none.
    """

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
        recorded = self._recorded(batch, generator)
        actions = self._action_terms(batch, generator, recorded)
        hidden = student.encode(batch.images, batch.input_ids, batch.attention_mask)
        text, language, _ = self._text(student, hidden, batch.labels)
        predicted = _actions(student, hidden, batch, batch, actions)
        imitation = actions.loss(predicted)
        losses, terms = [text, imitation], {"language": language, actions.name: imitation}
        wanted = self._taught(batch, actions) if recorded is None else recorded.velocity
        if self.teachers is not None and wanted is not None:
            config = self.teachers.config
            distance = actions.distance(wanted, predicted, config.temperature)
            losses.append(Mean(config.weight * distance.total, distance.count))
            terms["action_distillation"] = distance
        return self._sum(losses, terms)

    def _taught(self, batch: RobotBatch, actions: ActionTerms) -> Tensor | None:
        """What the action teacher predicts; None without one."""
        if self.teachers is None or self.teachers.action is None:
            return None
        return plain_actions(self.teachers.action, batch, actions)

    def _recorded(self, batch: RobotBatch, generator: torch.Generator) -> Choice | None:
        """Of the draws a teacher was recorded at, those that ``generator`` picks; None for a batch without any."""
        if not isinstance(batch, TaughtRobotBatch):
            return None
        samples, recorded = batch.time.shape
        every = torch.randint(recorded, (self.flow_draws, samples * self.ranks.size), generator=generator)
        return batch.chosen(every[:, self.ranks.rank :: self.ranks.size].to(batch.time.device))

    def _multimodal(self, student: Policy, batch: MultimodalBatch) -> Step:
        hidden = student.encode(batch.images, batch.input_ids, batch.attention_mask)
        teacher = None if self.teachers is None else self.teachers.reasoning
        targets: TextTargets | None = None
        if isinstance(batch, TaughtMultimodalBatch):
            targets = batch.targets
        elif teacher is not None:
            targets = supervised_targets(teacher, batch)
        text, language, distillation = self._text(student, hidden, batch.labels, targets)
        terms = {"language": language}
        if targets is not None:
            terms["reasoning_distillation"] = distillation
        return self._sum([text], terms)

    def _text(
        self, student: Policy, hidden: Tensor, labels: Tensor, targets: TextTargets | None = None
    ) -> tuple[Mean, Mean, Mean]:
        """The text's loss to differentiate, and its two terms; only supervised tokens are projected."""
        following = labels[:, 1:]
        supervised = following != IGNORED
        arguments = (hidden[:, :-1][supervised], student.text_rows, following[supervised], targets)
        config = None if self.teachers is None else self.teachers.config
        loss = text_loss(*arguments) if config is None else text_loss(*arguments, config.temperature, config.weight)
        count = supervised.sum().float()
        return Mean(loss.total, count), Mean(loss.language, count), Mean(loss.distillation, count)

    def _action_terms(self, batch: RobotBatch, generator: torch.Generator, recorded: Choice | None) -> ActionTerms:
        if self.action_head == "discrete":
            return BinTerms(batch.actions, batch.is_padding)
        draws = self.flow_draws
        drawn = self._flow_noise(batch.actions, generator) if recorded is None else recorded.flow
        return FlowTerms(batch.actions.repeat(draws, 1, 1), batch.is_padding.repeat(draws, 1), drawn)

    def _flow_noise(self, actions: Tensor, generator: torch.Generator) -> FlowNoise:
        """Noise for the whole global batch, of which this process keeps its own: the same with any number of them."""
        batch, chunk, width = actions.shape
        every = draw_flow_noise((self.flow_draws, batch * self.ranks.size, chunk, width), generator)
        own = slice(self.ranks.rank, None, self.ranks.size)
        noise, time = every.noise[:, own].flatten(0, 1), every.time[:, own].flatten()
        return FlowNoise(noise.to(actions), time.to(actions.device))

    def _sum(self, losses: Sequence[Mean], terms: Mapping[str, Mean]) -> Step:
        """Add the losses and tell the terms, each divided by its mean count over the processes."""
        means = [*losses, *terms.values()]
        counts = self.ranks.average(torch.stack([mean.count for mean in means])).clamp(min=1)
        values = [mean.total / count for mean, count in zip(means, counts.unbind(), strict=True)]
        loss = torch.stack(values[: len(losses)]).sum()
        told = {name: value.detach() for name, value in zip(terms, values[len(losses) :], strict=True)}
        return Step(loss, {"loss": loss.detach(), **told})


@torch.no_grad()
def supervised_targets(teacher: Policy, batch: MultimodalBatch) -> DenseTargets:
    """What a teacher says at the supervised tokens of a batch."""
    seen = teacher.encode(batch.images, batch.input_ids, batch.attention_mask)
    return DenseTargets(seen[:, :-1][batch.labels[:, 1:] != IGNORED], teacher.text_rows)


@torch.no_grad()
def plain_actions(teacher: Policy, batch: RobotBatch, terms: ActionTerms) -> Tensor:
    """What a teacher predicts that is given no reasoning (DualVLA Eq. 5)."""
    seen = teacher.encode(batch.images, batch.plain.input_ids, batch.plain.attention_mask)
    return _actions(teacher, seen, batch, batch.plain, terms)


def _actions(
    policy: Policy, hidden: Tensor, batch: RobotBatch, text: RobotBatch | TextBatch, terms: ActionTerms
) -> Tensor:
    latents = policy.latents(hidden, text.query_mask)
    state = None if batch.state is None else batch.state.to(hidden.dtype)
    return terms.predict(policy, latents, policy.visual_features(hidden, text.input_ids), state)
