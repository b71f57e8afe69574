"""The smallest model of each transformers family, as the configuration of a policy."""

from __future__ import annotations

from typing import Any

import torch

from dualvla_core.models import DualVLA, ModelConfig
from dualvla_core.models.config import AdaptationConfig, BackboneConfig, FlowHeadConfig, TinyBackboneConfig
from dualvla_core.models.tokenizer import create_tokenizer
from tests.dualvla_core.models.conftest import CAMERAS, TEXTS

_LLAMA = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
_SIGLIP = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "smolvlm": {
        "model_type": "smolvlm",
        "scale_factor": 2,
        "text_config": {"model_type": "llama", **_LLAMA},
        "vision_config": {**_SIGLIP, "image_size": 32, "patch_size": 8},
    },
    "idefics3": {
        "model_type": "idefics3",
        "scale_factor": 2,
        "text_config": {"model_type": "llama", **_LLAMA},
        "vision_config": {**_SIGLIP, "image_size": 32, "patch_size": 8},
    },
    "internvl": {
        "model_type": "internvl",
        "downsample_ratio": 0.5,
        "text_config": {"model_type": "qwen2", "tie_word_embeddings": True, **_LLAMA},
        "vision_config": {**_SIGLIP, "image_size": [32, 32], "patch_size": [8, 8]},
    },
    "qwen2_5_vl": {
        "model_type": "qwen2_5_vl",
        "text_config": {
            "model_type": "qwen2_5_vl_text",
            **_LLAMA,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
        },
        "vision_config": {
            "depth": 2,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_heads": 2,
            "out_hidden_size": 16,
            "patch_size": 8,
            "spatial_merge_size": 2,
            "window_size": 32,
            "fullatt_block_indexes": [1],
        },
    },
}


def family_config(name: str, source: str | None = None, **adaptation: Any) -> ModelConfig:
    """Of the architecture ``name``, or of its weights in the folder ``source``."""
    family: Any = {"smolvlm": "idefics3"}.get(name, name)
    return ModelConfig(
        backbone=BackboneConfig(
            family=family,
            source=source,
            architecture=None if source else ARCHITECTURES[name],
            tiny=TinyBackboneConfig(vocabulary=340),
        ),
        adaptation=AdaptationConfig(**adaptation),
        image_size=32,
        image_tokens=4,
        max_text_tokens=64,
        max_reasoning_tokens=4,
        action_queries=3,
        action_chunk=5,
        flow=FlowHeadConfig(hidden=16, layers=2, heads=2, euler_steps=2),
    )


def make_policy(config: ModelConfig, statistics: dict[str, Any], seed: int = 0) -> DualVLA:
    """A policy of ``config`` with weights drawn from ``seed``."""
    torch.manual_seed(seed)
    tokenizer = create_tokenizer(TEXTS, config)
    return DualVLA(config, tokenizer, statistics, embodiment="robot", cameras=CAMERAS, policy_type="generalist").eval()


def write_pretrained(name: str, folder: str, statistics: dict[str, Any]) -> None:
    """Backbone and tokenizer of ``name`` as their publisher would write them: without action queries."""
    config = family_config(name).model_copy(update={"action_queries": 0})
    tokenizer = create_tokenizer(TEXTS, config)
    tokenizer.save_pretrained(folder)
    make_policy(family_config(name), statistics).backbone.save_pretrained(folder)
