"""A small convolutional vision tower that transformers can put into a vision-language model.

Strided convolutions learn from a few thousand frames what a patch embedding needs far more for.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from dualvla_core.models.config import TOWER_STRIDE


class ConvTowerConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]
    """Sizes of a `ConvTower`."""

    model_type = "dualvla_conv_tower"

    def __init__(
        self, image_size: int = 64, channels: tuple[int, ...] = (32, 64, 128), hidden_size: int = 144, **kwargs: Any
    ) -> None:
        self.image_size = image_size
        self.channels = list(channels)
        self.hidden_size = hidden_size
        super().__init__(**kwargs)


class ConvTower(PreTrainedModel):  # type: ignore[no-untyped-call]
    """Four stride-2 convolutions over RGB and two coordinate channels: ``[B, 3, H, W]`` to ``[B, H * W / 256, D]``."""

    config: ConvTowerConfig
    config_class = ConvTowerConfig
    main_input_name = "pixel_values"
    base_model_prefix = "tower"

    def __init__(self, config: ConvTowerConfig) -> None:
        super().__init__(config)
        widths = [5, *config.channels]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(8, after), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], config.hidden_size, 3, stride=2, padding=1))
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        """Convolutions keep torch's own initialisation: transformers' default for language models is far too small."""

    def forward(self, pixel_values: Tensor, **_: Any) -> BaseModelOutput:
        """Image tokens ``[B, N, D]``, row by row; also as the only hidden state, where LLaVA looks for them."""
        height, width = pixel_values.shape[-2:]
        rows = torch.linspace(-1, 1, height, dtype=pixel_values.dtype, device=pixel_values.device)
        columns = torch.linspace(-1, 1, width, dtype=pixel_values.dtype, device=pixel_values.device)
        grid = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).expand(len(pixel_values), -1, -1, -1)
        tokens = self.layers(torch.cat([pixel_values, grid], 1)).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=tokens, hidden_states=(tokens,))


AutoConfig.register(ConvTowerConfig.model_type, ConvTowerConfig, exist_ok=True)
AutoModel.register(ConvTowerConfig, ConvTower, exist_ok=True)
assert 2 ** (len(ConvTowerConfig().channels) + 1) == TOWER_STRIDE
