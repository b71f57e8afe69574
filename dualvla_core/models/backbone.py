"""The vision-language model inside the policy: any transformers image-text-to-text model of a known family."""

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

from dualvla_core.errors import ConfigError
from dualvla_core.models import packaged
from dualvla_core.models.adaptation import adapt
from dualvla_core.models.config import ModelConfig
from dualvla_core.models.dialogue import DIALOGUES
from dualvla_core.models.efficientnet_tower import EfficientNetTowerConfig
from dualvla_core.models.families import FAMILIES
from dualvla_core.models.sources import fetched
from dualvla_core.models.vision_tower import ConvTowerConfig
from dualvla_core.models.vocabulary import split_vocabulary


def create_backbone(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A backbone to start training from: drawn afresh (torch's global generator), or with its published weights.

    Raises `ConfigError` for a source that cannot be loaded, `DependencyError` for a missing package of weights.
    """
    if config.backbone.source is not None:
        model: PreTrainedModel = fetched(
            AutoModelForImageTextToText.from_pretrained, config.backbone.source, dtype="float32"
        )
        return model
    built: Any = build_backbone(backbone_config(config, tokenizer))
    if config.backbone.family == "packaged":
        language = packaged.load_language()
        built.model.language_model.load_state_dict(language.model.state_dict())
        built.model.vision_tower.network.load_state_dict(packaged.load_vision().state_dict())
    fresh: PreTrainedModel = built
    return fresh


def prepare_backbone(backbone: Any, config: ModelConfig, first_query: int, vocabulary: int) -> None:
    """Make room for the action queries and decide what trains, in place; the same on a saved policy and a new one.

    Args:
        backbone: as `create_backbone` or `build_backbone` made it.
        config: of the policy.
        first_query: token id of the first action query.
        vocabulary: tokens of the tokenizer.

    Raises `ConfigError` when an image does not become ``config.image_tokens`` tokens.
    """
    made = FAMILIES[config.backbone.family].tokens(backbone.config, config.image_size)
    if made != config.image_tokens:
        raise ConfigError(
            f"image_tokens = {config.image_tokens}, but this {config.backbone.family} backbone makes {made} tokens of "
            f"an image of {config.image_size} px; set image_tokens to {made}."
        )
    if config.backbone.pretrained:
        split_vocabulary(backbone, first_query, vocabulary)
    adapt(backbone, config)


def build_backbone(config: PreTrainedConfig) -> PreTrainedModel:
    """The backbone a transformers configuration describes, without weights."""
    model: PreTrainedModel = AutoModelForImageTextToText.from_config(config)  # type: ignore[no-untyped-call]
    return model


def load_backbone_config(folder: str) -> PreTrainedConfig:
    """The transformers configuration saved in ``folder``."""
    config: PreTrainedConfig = AutoConfig.from_pretrained(folder)
    return config


def backbone_config(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    """What to build without weights of the whole: sizes are the configuration's, token ids the tokenizer's."""
    if config.backbone.family == "tiny":
        return tiny_backbone_config(config, tokenizer)
    if config.backbone.family == "packaged":
        return packaged_config(config, tokenizer.get_vocab()[DIALOGUES["packaged"].image])
    described: PreTrainedConfig = architecture_config(config)
    known, dialogue = tokenizer.get_vocab(), DIALOGUES[config.backbone.family]
    described.image_token_id = known[dialogue.image]
    text: Any = described.get_text_config()
    text.vocab_size = len(tokenizer)
    text.pad_token_id, text.bos_token_id, text.eos_token_id = known[dialogue.padding], None, known[dialogue.end]
    return described


def architecture_config(config: ModelConfig) -> Any:
    """The transformers configuration that ``architecture`` spells out. Raises `ConfigError` when it is none."""
    described = dict(config.backbone.architecture or {})
    try:
        return AutoConfig.for_model(str(described.pop("model_type", None)), **described)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"backbone.architecture describes no transformers model ({str(error).splitlines()[0][:200]}); give "
            "model_type and the fields of its configuration."
        ) from error


def packaged_config(config: ModelConfig, image_token: int) -> LlavaConfig:
    """LLaVA's composition of EfficientNet-Lite0, an MLP projector and SmolLM2-135M."""
    return LlavaConfig(
        vision_config=EfficientNetTowerConfig(image_size=config.image_size),
        text_config=packaged.language_config(),
        image_token_index=image_token,
        image_seq_length=config.image_tokens,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
    )


def tiny_backbone_config(config: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> LlavaConfig:
    """LLaVA's composition of a small convolutional vision tower, an MLP projector and a small Llama."""
    sizes = config.backbone.tiny
    known, dialogue = tokenizer.get_vocab(), DIALOGUES["tiny"]
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.hidden,
        intermediate_size=sizes.intermediate,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        num_key_value_heads=sizes.heads,
        max_position_embeddings=4096,
        initializer_range=0.06,
        bos_token_id=known[dialogue.special[0]],
        eos_token_id=known[dialogue.end],
        pad_token_id=known[dialogue.padding],
        tie_word_embeddings=False,
    )
    vision = ConvTowerConfig(image_size=config.image_size, channels=sizes.vision_channels, hidden_size=sizes.hidden)
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=known[dialogue.image],
        image_seq_length=config.image_tokens,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
