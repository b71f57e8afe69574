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

from dualvla_core.distillation.action_terms import ActingPolicy, ActionTerms, BinTerms, FlowTerms, Prediction
from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.distillation.losses import FlowNoise, draw_flow_noise
from dualvla_core.distillation.ranks import ALONE, Ranks
from dualvla_core.distillation.recorded import Choice, TaughtBinsBatch, TaughtMultimodalBatch, TaughtRobotBatch
from dualvla_core.distillation.text_loss import DenseTargets, TextLoss, TextTargets, text_loss
from dualvla_core.models.batches import MultimodalBatch, RobotBatch, Share, TextBatch
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


class Part(NamedTuple):
    """One of the parts in which a process takes its share of a global batch."""

    share: Share
    counts: Tensor
    """``[2]`` supervised tokens and action values in all parts of a process, on average over the processes."""


class Step(NamedTuple):
    """The loss to differentiate ``[]``, and the detached terms it is made of, by name; means over all processes' data.

    Each process holds its share, the sum over its parts: their average is the value of the global batch.
    """

    loss: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Teachers:
    """The frozen teachers of the student; None leaves a domain without distillation (the paper's ablation).

    Batches that bring what a teacher said (`TaughtRobotBatch`, `TaughtBinsBatch`, `TaughtMultimodalBatch`) need none.
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

    def parts(self, batches: Sequence[Batch]) -> list[Part]:
        """What each of ``batches`` is of the global batch, when they are this process's share of it in equal parts.

        Every process must call it, with as many. Part m of M of process r of R holds the samples r + m R + i M R.
        """
        counts = self.ranks.average(torch.stack([self._counts(batch) for batch in batches]).sum(0)).clamp(min=1)
        size = self.ranks.size
        shares = [Share(self.ranks.rank + size * number, size * len(batches)) for number in range(len(batches))]
        return [Part(share, counts) for share in shares]

    def step(self, student: Policy, batch: Batch, generator: torch.Generator, part: Part | None = None) -> Step:
        """The loss of ``batch``; ``generator`` (seeded alike on every process and for every part) draws noise and time.

        ``part`` says what it is of the global batch; None = this process's whole share, and every process must call.
        """
        part = self.parts([batch])[0] if part is None else part
        if isinstance(batch, RobotBatch):
            return self._robot(student, batch, generator, part)
        return self._multimodal(student, batch, part)

    def _counts(self, batch: Batch) -> Tensor:
        """How many values its losses are means over ``[2]``: supervised tokens, and numbers of action chunks."""
        tokens = (batch.labels[:, 1:] != IGNORED).sum()
        values = torch.zeros_like(tokens)
        if isinstance(batch, RobotBatch):
            draws = self.flow_draws if self.action_head == "flow" else 1
            values = (~batch.is_padding).sum() * batch.actions.shape[-1] * draws
        return torch.stack([tokens, values]).float()

    def _robot(self, student: Policy, batch: RobotBatch, generator: torch.Generator, part: Part) -> Step:
        recorded = self._recorded(batch, generator, part.share)
        actions = self._action_terms(batch, generator, recorded, part.share)
        hidden = student.encode(batch.images, batch.input_ids, batch.attention_mask)
        text = self._text(student, hidden, batch.labels)
        predicted = _actions(student, hidden, batch, batch, actions)
        tokens, values = part.counts.unbind()
        imitation = actions.loss(predicted).total / values
        losses, terms = [text.total / tokens, imitation], {"language": text.language / tokens, actions.name: imitation}
        wanted = self._taught(batch, actions) if recorded is None else recorded.velocity
        if self.teachers is not None and wanted is not None:
            config = self.teachers.config
            distance = actions.distance(wanted, predicted, config.temperature).total
            losses.append(config.weight * distance / values)
            terms["action_distillation"] = distance / values
        return _sum(losses, terms)

    def _taught(self, batch: RobotBatch, actions: ActionTerms) -> Prediction | None:
        """What the action teacher predicts, or predicted; None without one."""
        if isinstance(batch, TaughtBinsBatch):
            return batch.targets
        if self.teachers is None or self.teachers.action is None:
            return None
        return plain_actions(self.teachers.action, batch, actions)

    def _recorded(self, batch: RobotBatch, generator: torch.Generator, share: Share) -> Choice | None:
        """Of the draws a flow head was recorded at, those that ``generator`` picks; None for a batch without any."""
        if not isinstance(batch, TaughtRobotBatch):
            return None
        samples, recorded = batch.time.shape
        every = torch.randint(recorded, (self.flow_draws, samples * share.of), generator=generator)
        return batch.chosen(every[:, share.first :: share.of].to(batch.time.device))

    def _multimodal(self, student: Policy, batch: MultimodalBatch, part: Part) -> Step:
        hidden = student.encode(batch.images, batch.input_ids, batch.attention_mask)
        teacher = None if self.teachers is None else self.teachers.reasoning
        targets: TextTargets | None = None
        if isinstance(batch, TaughtMultimodalBatch):
            targets = batch.targets
        elif teacher is not None:
            targets = supervised_targets(teacher, batch)
        text, tokens = self._text(student, hidden, batch.labels, targets), part.counts[0]
        terms = {"language": text.language / tokens}
        if targets is not None:
            terms["reasoning_distillation"] = text.distillation / tokens
        return _sum([text.total / tokens], terms)

    def _text(self, student: Policy, hidden: Tensor, labels: Tensor, targets: TextTargets | None = None) -> TextLoss:
        """What the supervised tokens cost; only they are projected."""
        following = labels[:, 1:]
        supervised = following != IGNORED
        arguments = (hidden[:, :-1][supervised], student.text_rows, following[supervised], targets)
        config = None if self.teachers is None else self.teachers.config
        return text_loss(*arguments) if config is None else text_loss(*arguments, config.temperature, config.weight)

    def _action_terms(
        self, batch: RobotBatch, generator: torch.Generator, recorded: Choice | None, share: Share
    ) -> ActionTerms:
        if self.action_head == "discrete":
            return BinTerms(batch.actions, batch.is_padding)
        draws = self.flow_draws
        drawn = self._flow_noise(batch.actions, generator, share) if recorded is None else recorded.flow
        return FlowTerms(batch.actions.repeat(draws, 1, 1), batch.is_padding.repeat(draws, 1), drawn)

    def _flow_noise(self, actions: Tensor, generator: torch.Generator, share: Share) -> FlowNoise:
        """Noise for the whole global batch, of which this share keeps its own: the same with any number of them."""
        batch, chunk, width = actions.shape
        every = draw_flow_noise((self.flow_draws, batch * share.of, chunk, width), generator)
        own = slice(share.first, None, share.of)
        noise, time = every.noise[:, own].flatten(0, 1), every.time[:, own].flatten()
        return FlowNoise(noise.to(actions), time.to(actions.device))


def _sum(losses: Sequence[Tensor], terms: Mapping[str, Tensor]) -> Step:
    loss = torch.stack(list(losses)).sum()
    return Step(loss, {"loss": loss.detach(), **{name: value.detach() for name, value in terms.items()}})


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
