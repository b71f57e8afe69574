"""The vision-language model inside the policy: any transformers image-text-to-text model."""

from __future__ import annotations

from typing import Any

from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    LlamaConfig,
    LlavaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from dualvla_core.models.config import TINY, ModelConfig
from dualvla_core.models.tokenizer import BOS, EOS, IMAGE, PAD
from dualvla_core.models.vision_tower import ConvTowerConfig


def create_backbone(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A backbone to start training from: the tiny one drawn afresh (torch's global generator), others with weights.

    Loaded ones grow embedding rows for the tokens ``tokenizer`` has beyond theirs.
    """
    model: Any
    if config.backbone == TINY:
        return build_backbone(tiny_backbone_config(config, tokenizer))
    model = AutoModelForImageTextToText.from_pretrained(config.backbone)
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:
        model.resize_token_embeddings(len(tokenizer))
    backbone: PreTrainedModel = model
    return backbone


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """The backbone a transformers configuration describes, without weights."""
    model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)  # type: ignore[no-untyped-call]
    return model


def load_backbone_config(folder: str) -> PreTrainedConfig:
    """The transformers configuration saved in ``folder``."""
    config: PreTrainedConfig = AutoConfig.from_pretrained(folder)
    return config


def tiny_backbone_config(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> LlavaConfig:
    """LLaVA's composition of a small convolutional vision tower, an MLP projector and a small Llama."""
    sizes = config.tiny_backbone
    known = tokenizer.get_vocab()
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=4096,
        initializer_range=0.06,
        bos_token_id=known[BOS],
        eos_token_id=known[EOS],
        pad_token_id=known[PAD],
        tie_word_embeddings=False,
    )
    vision = ConvTowerConfig(image_size=config.image_size, channels=sizes.vision_channels, hidden_size=sizes.hidden)
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=known[IMAGE],
        image_seq_length=config.image_tokens,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
