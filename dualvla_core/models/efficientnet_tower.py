"""EfficientNet-Lite0 as a vision tower that transformers can put into a vision-language model."""

from __future__ import annotations

from typing import Any, Self

from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from dualvla_core.events.efficientnet_lite import EfficientNetLite0

EFFICIENTNET_STRIDE = 32
"""Pixels of an image one of its tokens stands for, along each side."""


class EfficientNetTowerConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Nothing but the image size varies."""

    model_type = "dualvla_efficientnet_lite0"

    def __init__(self, image_size: int = 224, hidden_size: int = EfficientNetLite0.channels[-1], **kwargs: Any) -> None:
        self.image_size = image_size
        self.hidden_size = hidden_size
        super().__init__(**kwargs)


class EfficientNetTower(PreTrainedModel):  # type: ignore[no-untyped-call]
    """The coarsest level: ``[B, 3, H, W]`` to ``[B, H * W / 1024, 320]``.

    Its batch normalisation keeps the statistics of ImageNet in training too: robot batches are small and alike.
    """

    config: EfficientNetTowerConfig
    config_class = EfficientNetTowerConfig
    main_input_name = "pixel_values"
    base_model_prefix = "tower"

    def __init__(self, config: EfficientNetTowerConfig) -> None:
        super().__init__(config)
        self.network = EfficientNetLite0()
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Convolutions keep torch's own initialisation until the published weights are loaded."""

    def train(self, mode: bool = True) -> Self:
        """See the class: batch normalisation stays in evaluation mode."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        """Image tokens ``[B, N, 320]``, row by row; also as the only hidden state, where LLaVA looks for them."""
        tokens = self.network(pixel_values)[-1].flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(EfficientNetTowerConfig.model_type, EfficientNetTowerConfig, exist_ok=True)
AutoModel.register(EfficientNetTowerConfig, EfficientNetTower, exist_ok=True)
