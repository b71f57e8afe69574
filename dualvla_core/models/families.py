"""What differs between families of backbones: where their parts are, and the form in which they take images.

The libraries' own processors need torchvision and cut an image into a number of tiles that depends on its size. Here
every image is one square of ``image_size``, so that it always takes the same number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from dualvla_core.models.config import TOWER_STRIDE
from dualvla_core.models.efficientnet_tower import EFFICIENTNET_STRIDE

VisionInputs: TypeAlias = dict[str, Tensor]
"""Keyword arguments of a transformers model, beside tokens and mask."""


@dataclass(frozen=True)
class Family:
    """One family of transformers models. Names of parts are attributes of the backbone's ``model``, dotted."""

    language: str
    vision: str
    projector: str
    tokens: Callable[[Any, int], int]
    """Backbone configuration and image size (px) to the tokens one image becomes."""
    inputs: Callable[[Any, Tensor, Tensor], VisionInputs]
    """Backbone configuration, normalised images ``[B, C, 3, H, W]`` and ``input_ids == image`` ``[B, L]`` to inputs."""

    def part(self, backbone: Any, name: str) -> nn.Module:
        """One of the parts ``language``, ``vision`` and ``projector`` of ``backbone``."""
        module: nn.Module = backbone.model.get_submodule(getattr(self, name))
        return module


def _flat(_config: Any, images: Tensor, _placeholders: Tensor) -> VisionInputs:
    return {"pixel_values": images.flatten(0, 1)}


def _per_sample(_config: Any, images: Tensor, _placeholders: Tensor) -> VisionInputs:
    return {"pixel_values": images}


def _patches(config: Any, images: Tensor, placeholders: Tensor) -> VisionInputs:
    """Qwen's flattened patches ``[N * patches, temporal * 3 * p * p]``, those that are merged beside each other.

    A still image is ``temporal`` equal frames.
    """
    vision = config.vision_config
    patch, merge, temporal = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    flat = images.flatten(0, 1)
    count, channels, height, _ = flat.shape
    grid = height // patch
    cut = flat.view(count, channels, grid // merge, merge, patch, grid // merge, merge, patch)
    ordered = cut.permute(0, 2, 5, 3, 6, 1, 4, 7)  # [N, rows, columns, merge, merge, 3, p, p]
    frames = ordered.unsqueeze(6).expand(*ordered.shape[:6], temporal, patch, patch)
    return {
        "pixel_values": frames.reshape(count * grid * grid, channels * temporal * patch * patch),
        "image_grid_thw": torch.tensor([[1, grid, grid]] * count, device=images.device),
        "mm_token_type_ids": placeholders.to(torch.int32),
    }


FAMILIES: Mapping[str, Family] = {
    "tiny": Family(
        language="language_model",
        vision="vision_tower",
        projector="multi_modal_projector",
        tokens=lambda _, size: (size // TOWER_STRIDE) ** 2,
        inputs=_flat,
    ),
    "packaged": Family(
        language="language_model",
        vision="vision_tower",
        projector="multi_modal_projector",
        tokens=lambda _, size: (size // EFFICIENTNET_STRIDE) ** 2,
        inputs=_flat,
    ),
    "idefics3": Family(
        language="text_model",
        vision="vision_model",
        projector="connector",
        tokens=lambda config, size: (size // config.vision_config.patch_size // config.scale_factor) ** 2,
        inputs=_per_sample,
    ),
    "internvl": Family(
        language="language_model",
        vision="vision_tower",
        projector="multi_modal_projector",
        tokens=lambda config, size: int(size // _side(config.vision_config.patch_size) * config.downsample_ratio) ** 2,
        inputs=_flat,
    ),
    "qwen2_5_vl": Family(
        language="language_model",
        vision="visual",
        projector="visual.merger",
        tokens=lambda config, size: (
            (size // config.vision_config.patch_size // config.vision_config.spatial_merge_size) ** 2
        ),
        inputs=_patches,
    ),
}
"""By the family of `BackboneConfig`."""


def _side(size: int | list[int] | tuple[int, ...]) -> int:
    """The side of a square that a configuration gives as one number or as two."""
    return size if isinstance(size, int) else size[0]
