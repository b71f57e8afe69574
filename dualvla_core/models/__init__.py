"""The policy: a transformers vision-language backbone, latent action queries and a flow-matching action expert."""

from dualvla_core.models.batches import MultimodalBatch, MultimodalCollator, RobotBatch, RobotCollator, TextBatch
from dualvla_core.models.config import AugmentationConfig, ModelConfig
from dualvla_core.models.dualvla import DualVLA, ObservationError, PolicyOutput
from dualvla_core.models.prompts import PromptError
from dualvla_core.models.tokenizer import train_tokenizer

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
