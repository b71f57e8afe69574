"""The policy: a vision-language backbone, latent action queries and an action head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dualvla_core.errors import ArtifactError, UserError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.models import checkpoint
from dualvla_core.models.backbone import create_backbone, prepare_backbone
from dualvla_core.models.batches import text_batch
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.families import FAMILIES
from dualvla_core.models.heads import create_action_head
from dualvla_core.models.normalisation import Normaliser, statistics_of
from dualvla_core.models.prompts import Prompts


class ObservationError(UserError):
    """An observation that lacks what the policy was trained with."""


@dataclass(frozen=True)
class PolicyOutput:
    """What the policy does and says."""

    actions: Tensor
    """``[B, T, A]`` float32 in raw units."""
    reasoning: list[str]
    """One rendered reasoning per sample; empty where the policy acted at once or was not asked."""


class DualVLA(nn.Module):
    """Specialist, generalist or student: one architecture.

    Args:
        config: sizes.
        tokenizer: with the special tokens of the prompts.
        statistics: a ``statistics.json``; only the entry of ``embodiment`` is kept.
        embodiment: the robot it drives.
        cameras: its images, in order.
        policy_type: what it was trained to be; recorded in checkpoints.
        backbone: None = `create_backbone`, which draws from torch's global generator; seed it for equal weights.

    Raises `ArtifactError` for statistics that lack the embodiment or a signal.
    """

    def __init__(
        self,
        config: ModelConfig,
        tokenizer: PreTrainedTokenizerBase,
        statistics: Mapping[str, Any],
        *,
        embodiment: str,
        cameras: Sequence[str],
        policy_type: PolicyType,
        backbone: PreTrainedModel | None = None,
    ) -> None:
        super().__init__()
        entry = statistics_of(statistics, embodiment)
        self.config = config
        self.tokenizer = tokenizer
        self.statistics = {embodiment: entry}
        self.embodiment = embodiment
        self.cameras = tuple(cameras)
        self.policy_type: PolicyType = policy_type
        self._recomputes = False
        self.prompts = Prompts(tokenizer, config)
        self.action_normaliser = Normaliser(entry, "action")
        self.state_normaliser = Normaliser(entry, "state") if config.use_state else None
        self.backbone: Any = create_backbone(config, tokenizer) if backbone is None else backbone
        prepare_backbone(self.backbone, config, self.prompts.queries[0], len(tokenizer))
        embeddings: Any = self.backbone.get_input_embeddings()
        if config.action_head == "discrete":
            self.action_normaliser.check_unit_range()
        self.action_head: Any = create_action_head(
            config,
            backbone_width=embeddings.embedding_dim,
            state_size=None if self.state_normaliser is None else self.state_normaliser.size,
            action_size=self.action_normaliser.size,
        )

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(self.parameters()).device

    def encode(self, images: Tensor, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Last hidden states ``[B, L, D]`` of the causal language model over image and text tokens.

        Args:
            images: ``[B, C, 3, H, W]`` in [0, 1]; ``input_ids`` ``[B, L]`` holds the placeholders of all C.
            input_ids: ``[B, L]``.
            attention_mask: ``[B, L]``, 0 at padding on the right.
        """
        if self.config.blind and not self._recomputes:  # which keeps no keys and values
            return self._encode_black(images, input_ids)
        output = self.backbone.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            **self._vision(images, input_ids),
            use_cache=False,
        )
        hidden: Tensor = output.last_hidden_state
        return hidden

    def checkpoint_gradients(self) -> None:
        """Compute the backbone's layers again in the backward pass of a training instead of keeping what they made.

        Values and gradients stay the same; dropout is drawn alike both times.
        """
        self._recomputes = True
        self.backbone.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})

    @property
    def text_rows(self) -> tuple[Tensor, ...]:
        """Blocks ``[V_i, D]`` of the output embeddings: times hidden state i, the logits of token i + 1."""
        return tuple(self.backbone.get_output_embeddings().parameters())

    def latents(self, hidden: Tensor, query_mask: Tensor) -> Tensor:
        """The latent actions ``[B, K, D]``: hidden states ``[B, L, D]`` where ``query_mask`` ``[B, L]`` is True."""
        return hidden[query_mask].view(len(hidden), self.config.action_queries, -1)

    def visual_features(self, hidden: Tensor, input_ids: Tensor) -> Tensor:
        """Hidden states ``[B, C * N, D]`` at the image placeholders: what the action expert sees of the scene.

        They stand before any text, so neither instruction nor reasoning is in them.
        """
        placeholders = input_ids == self.prompts.image
        return hidden[placeholders].view(len(hidden), -1, hidden.shape[-1])

    def velocity(
        self, latents: Tensor, visual: Tensor | None, state: Tensor | None, noisy: Tensor, time: Tensor
    ) -> Tensor:
        """A flow head's velocity ``[R * B, T, A]``.

        Args:
            latents: ``[B, K, D]``.
            visual: ``[B, N, D]`` of `visual_features`, or None.
            state: ``[B, S]`` normalised, or None.
            noisy: ``[R * B, T, A]``: R noise draws for each sample, in the order of ``actions.repeat(R, 1, 1)``.
            time: ``[R * B]`` in [0, 1], 0 = noise.
        """
        condition = self.action_head.condition(latents, visual, state)
        velocity: Tensor = self.action_head(condition.repeated(len(noisy) // len(latents)), noisy, time)
        return velocity

    def action_logits(self, latents: Tensor, visual: Tensor | None, state: Tensor | None) -> Tensor:
        """A discrete head's logits ``[B, T, A, bins]``; arguments as of `velocity`."""
        logits: Tensor = self.action_head(self.action_head.condition(latents, visual, state))
        return logits

    @torch.inference_mode()
    def act(
        self,
        images: Tensor,
        instruction: Sequence[str],
        state: Tensor | None,
        *,
        reason: bool,
        generator: torch.Generator,
    ) -> PolicyOutput:
        """Choose an action chunk for each of B observations.

        Args:
            images: ``[B, C, 3, H, W]`` in [0, 1], cameras in the order of ``self.cameras``.
            instruction: B sentences.
            state: ``[B, S]`` on the CPU in raw units; None for a policy without state.
            reason: whether the policy may speak before it acts; it decides itself by what it emits first.
            generator: on the CPU; draws the noise the flow starts from.

        Raises `ObservationError` when a camera or the state is missing.
        """
        self._known_state(images, state)  # before any time is spent on text
        reasoning = self.reason(images, instruction) if reason else [""] * len(instruction)
        noise = torch.stack([self.draw_noise(generator) for _ in images])
        return PolicyOutput(self.act_after(images, instruction, state, reasoning, noise), reasoning)

    def draw_noise(self, generator: torch.Generator) -> Tensor:
        """What the flow of one decision starts from: ``[T, A]`` standard normal, on the CPU."""
        return torch.randn((self.config.action_chunk, self.action_normaliser.size), generator=generator)

    @torch.inference_mode()
    def act_after(
        self,
        images: Tensor,
        instruction: Sequence[str],
        state: Tensor | None,
        reasoning: Sequence[str],
        noise: Tensor,
    ) -> Tensor:
        """Actions ``[B, T, A]`` float32 in raw units, given what was said before them.

        Args:
            images: as of `act`.
            instruction: B sentences.
            state: as of `act`.
            reasoning: B texts; empty = the policy acts at once.
            noise: ``[B, T, A]`` of `draw_noise`.
        """
        known = self._known_state(images, state)
        images = images.to(self.device)
        turns = zip(instruction, reasoning, strict=True)
        samples = [self.prompts.acting_turn(each, images.shape[1], said) for each, said in turns]
        text = text_batch(samples, int(self.tokenizer.pad_token_id)).to(self.device)
        hidden = self.encode(images, text.input_ids, text.attention_mask)
        condition = self.action_head.condition(
            self.latents(hidden, text.query_mask), self.visual_features(hidden, text.input_ids), known
        )
        actions = self.action_head.decide(condition, noise.to(self.device))
        return self.action_normaliser.unnormalise(actions.float().cpu())

    @torch.inference_mode()
    def reason(self, images: Tensor, instruction: Sequence[str], *, must_speak: bool = False) -> list[str]:
        """What the policy says before it acts, decoded greedily until the first action query or the end of the turn.

        With ``must_speak`` it cannot begin with either: what a policy costs that has not learnt when to be silent.
        """
        return self._say(images, instruction, self.config.max_reasoning_tokens, must_speak=must_speak)

    @torch.inference_mode()
    def answer(self, images: Tensor, question: Sequence[str], max_tokens: int = 64) -> list[str]:
        """Greedy answers to B visual questions about ``images`` ``[B, C, 3, H, W]`` each."""
        return self._say(images, question, max_tokens)

    @property
    def stops(self) -> list[int]:
        """The tokens that end a text."""
        return [self.prompts.queries[0], self.prompts.end]

    def continue_tokens(
        self, images: Tensor, openings: Sequence[list[int]], max_tokens: int, *, must_speak: bool = False
    ) -> list[list[int]]:
        """Greedy continuations of B token sequences, up to the first of `stops` or ``max_tokens``, without the stop."""
        length = max(len(opening) for opening in openings)
        padding = int(self.tokenizer.pad_token_id)
        ids = [[padding] * (length - len(opening)) + opening for opening in openings]
        mask = [[0] * (length - len(opening)) + [1] * len(opening) for opening in openings]
        input_ids = torch.tensor(ids, device=self.device)
        generated = self.backbone.generate(
            input_ids=input_ids,
            attention_mask=torch.tensor(mask, device=self.device),
            **self._vision(images.to(self.device), input_ids),
            max_new_tokens=max_tokens,
            do_sample=False,
            eos_token_id=self.stops,
            min_new_tokens=int(must_speak),
            pad_token_id=padding,
        )
        return [list(takewhile(lambda token: token not in self.stops, row)) for row in generated[:, length:].tolist()]

    def _say(self, images: Tensor, text: Sequence[str], max_tokens: int, *, must_speak: bool = False) -> list[str]:
        openings = [self.prompts.opening(each, images.shape[1]) for each in text]
        said = self.continue_tokens(images, openings, max_tokens, must_speak=must_speak)
        return [self.prompts.decode(tokens).strip() for tokens in said]

    def save_pretrained(self, folder: Path) -> None:
        """Write configuration, weights, tokenizer and statistics into ``folder``."""
        checkpoint.save(self, folder)

    @classmethod
    def from_pretrained(cls, source: Path | str, *, embodiment: str | None = None) -> DualVLA:
        """Read what `save_pretrained` wrote: a folder, or ``owner/name`` on the hub.

        Raises `ArtifactError` when a file is missing, statistics above all, or the policy drives another robot than
        ``embodiment``.
        """
        loaded = checkpoint.load(cls, checkpoint.located(source))
        if embodiment is not None and embodiment != loaded.embodiment:
            raise ArtifactError(
                f"The checkpoint {str(source)!r} drives {loaded.embodiment!r}, not {embodiment!r}; its normalisation "
                "would send wrong actions, so use a policy of the same robot."
            )
        return loaded

    def _known_state(self, images: Tensor, state: Tensor | None) -> Tensor | None:
        """The normalised state ``[B, S]`` on the device, or None for a policy without."""
        if images.shape[1] != len(self.cameras):
            raise ObservationError(
                f"Camera images given: {images.shape[1]}; the policy needs one of each of {list(self.cameras)}."
            )
        if self.state_normaliser is None:
            return None
        if state is None:
            raise ObservationError("No robot state was given, but the policy was trained with one; pass it to act.")
        return self.state_normaliser.normalise(state).to(self.device)

    def _encode_black(self, images: Tensor, input_ids: Tensor) -> Tensor:
        """What `encode` returns, but for padding: up to the text a blind policy's samples are one, and read once."""
        shared = int((input_ids[0] == self.prompts.image).nonzero().max()) + 1
        opening = input_ids[:1, :shared]
        seen = self.backbone.model(input_ids=opening, **self._vision(images[:1], opening), use_cache=True)
        seen.past_key_values.batch_repeat_interleave(len(input_ids))
        # no mask: what pads stands on the right, where nothing looks at it
        text = self.backbone.model(input_ids=input_ids[:, shared:], past_key_values=seen.past_key_values)
        black = seen.last_hidden_state.expand(len(input_ids), -1, -1)
        return torch.cat([black, text.last_hidden_state], 1)

    def _vision(self, images: Tensor, input_ids: Tensor) -> dict[str, Tensor]:
        """Images ``[B, C, 3, H, W]`` in [0, 1] as the backbone takes them; a blind policy sees black ones."""
        seen = torch.zeros_like(images) if self.config.blind else images
        mean = torch.tensor(self.config.image_mean, device=images.device).view(3, 1, 1)
        std = torch.tensor(self.config.image_std, device=images.device).view(3, 1, 1)
        weight_type: torch.dtype = self.backbone.dtype
        pixels = ((seen - mean) / std).to(weight_type)
        family = FAMILIES[self.config.backbone.family]
        return family.inputs(self.backbone.config, pixels, input_ids == self.prompts.image)
