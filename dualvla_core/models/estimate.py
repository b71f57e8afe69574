"""How large a policy is and what training it takes, without weights: everything is built on the meta device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from transformers import AutoConfig, PreTrainedConfig

from dualvla_core.models.adaptation import PartSize, parameter_table
from dualvla_core.models.backbone import (
    architecture_config,
    backbone_config,
    build_backbone,
    packaged_config,
    prepare_backbone,
)
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.heads import create_action_head
from dualvla_core.models.sources import fetched
from dualvla_core.models.tokenizer import train_tokenizer

Precision = Literal["fp32", "bf16"]
STAGES = (0, 1, 2, 3)

_OPTIMIZER_BYTES = {"fp32": 8, "bf16": 12}  # Adam's two moments in fp32, and in bf16 a copy of the weights beside them
_WEIGHT_BYTES = {"fp32": 4, "bf16": 2}


@dataclass(frozen=True)
class Robot:
    """What a policy drives."""

    state_size: int
    action_size: int
    cameras: int


@dataclass(frozen=True)
class PolicySize:
    """What `measure_policy` found."""

    parts: list[PartSize]
    shapes: dict[str, str]
    """What flows through the policy, and its shape for B observations."""

    @property
    def parameters(self) -> int:
        """All of them."""
        return sum(part.parameters for part in self.parts)

    @property
    def trainable(self) -> int:
        """Those that train."""
        return sum(part.trainable for part in self.parts)


def measure_policy(config: ModelConfig, robot: Robot) -> PolicySize:
    """Build the policy of ``config`` without weights and count.

    Raises `ConfigError` for a configuration that describes no model, or a source whose sizes are neither given as
    ``architecture`` nor to be had.
    """
    described, vocabulary, first_query = _described(config)
    with torch.device("meta"):
        backbone: Any = build_backbone(described)
        prepare_backbone(backbone, config, first_query, vocabulary)
        width = backbone.get_input_embeddings().embedding_dim
        state_size = robot.state_size if config.use_state else None
        head = create_action_head(config, backbone_width=width, state_size=state_size, action_size=robot.action_size)
    images = robot.cameras * config.image_tokens
    longest = images + config.max_text_tokens
    shapes = {
        "images": f"[B, {robot.cameras}, 3, {config.image_size}, {config.image_size}]",
        "image tokens": f"[B, {images}, {width}]",
        "longest sequence": f"[B, {longest}, {width}]",
        "text logits": f"[supervised tokens, {vocabulary}]",
        "latent actions": f"[B, {config.action_queries}, {width}]",
        "state": f"[B, {state_size}]" if state_size else "none",
        "actions": f"[B, {config.action_chunk}, {robot.action_size}]",
    }
    return PolicySize(parameter_table(backbone, head, config), shapes)


def training_bytes(size: PolicySize, stage: int, processes: int, precision: Precision) -> float:
    """Memory one process needs for weights, gradients and Adam's state (bytes); activations come on top.

    The accounting of Rajbhandari et al. (ZeRO, SC 2020, section 3), of weights that do not all train: with P weights,
    T trainable, N processes and w bytes a weight it is w P + w T + k T, of which stage 1 divides the last term by N,
    stage 2 the last two, stage 3 all.
    """
    weights = _WEIGHT_BYTES[precision] * size.parameters
    gradients = _WEIGHT_BYTES[precision] * size.trainable
    optimizer = _OPTIMIZER_BYTES[precision] * size.trainable
    shared = {0: 0, 1: optimizer, 2: optimizer + gradients, 3: optimizer + gradients + weights}[stage]
    return weights + gradients + optimizer - shared + shared / processes


def _described(config: ModelConfig) -> tuple[PreTrainedConfig, int, int]:
    """Configuration of the backbone, tokens of the whole vocabulary, and the first action query's id."""
    if not config.backbone.pretrained:
        described = backbone_config(config, train_tokenizer([], config))
        vocabulary = config.backbone.tiny.vocabulary
        described.get_text_config().vocab_size = vocabulary
        return described, vocabulary, 0
    if config.backbone.family == "packaged":
        described = packaged_config(config, image_token=0)
    elif config.backbone.architecture is not None:
        described = architecture_config(config)
    else:
        described = fetched(AutoConfig.from_pretrained, str(config.backbone.source))
    first = int(described.get_text_config().vocab_size)  # published rows beyond its tokens count as old ones
    return described, first + config.action_queries, first
