"""The policy: a transformers vision-language backbone, latent action queries and a flow-matching action expert.

Names are looked up when they are asked for, so that reading a configuration loads neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualvla_core.models.batches import MultimodalBatch, MultimodalCollator, RobotBatch, RobotCollator, TextBatch
    from dualvla_core.models.config import AugmentationConfig, ModelConfig
    from dualvla_core.models.dualvla import DualVLA, ObservationError, PolicyOutput
    from dualvla_core.models.prompts import PromptError
    from dualvla_core.models.tokenizer import train_tokenizer

_HOMES = {
    "batches": ("MultimodalBatch", "MultimodalCollator", "RobotBatch", "RobotCollator", "TextBatch"),
    "config": ("AugmentationConfig", "ModelConfig"),
    "dualvla": ("DualVLA", "ObservationError", "PolicyOutput"),
    "prompts": ("PromptError",),
    "tokenizer": ("train_tokenizer",),
}

__all__ = [
    "AugmentationConfig",
    "DualVLA",
    "ModelConfig",
    "MultimodalBatch",
    "MultimodalCollator",
    "ObservationError",
    "PolicyOutput",
    "PromptError",
    "RobotBatch",
    "RobotCollator",
    "TextBatch",
    "train_tokenizer",
]


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
