"""DDM-Net as a detector: windows over the cached features of a trajectory, and the folder a trained one lies in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from dualvla_core.errors import ArtifactError
from dualvla_core.events.backbones import Backbone
from dualvla_core.events.config import DDMNetConfig
from dualvla_core.events.ddm_net import DDMNet
from dualvla_core.events.detector_folder import Description, load_weights, read_description

_BATCH = 64  # windows scored at once: bounds memory, changes no score


class DDMNetDescription(Description):
    """What a trained DDM-Net's folder says about itself."""

    ddm_net: DDMNetConfig = Field(description="Settings it was trained with.")
    cameras: tuple[str, ...] = Field(description="Cameras it was trained on; none = the first of each episode.")
    channels: tuple[int, ...] = Field(description="Features per level, of all cameras.")
    backbone: str = Field(description="Digest of the backbone's weights.")


class FeatureScale(torch.nn.Module):
    """Brings the backbone's features to zero mean and unit spread over the training frames.

    The published network adapts the backbone instead; here it stays frozen, so that features can be cached.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for level, size in enumerate(channels):
            self.register_buffer(f"mean{level}", torch.zeros(size))
            self.register_buffer(f"spread{level}", torch.ones(size))

    def fit(self, levels: Sequence[Tensor]) -> None:
        """Take mean and standard deviation from the features ``[N, C]`` of each level."""
        for level, features in enumerate(levels):
            self.get_buffer(f"mean{level}").copy_(features.mean(0))
            self.get_buffer(f"spread{level}").copy_(features.std(0, correction=0).clamp_min(1e-3))

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Features ``[..., C]`` of each level, scaled."""
        return [
            (features - self.get_buffer(f"mean{level}")) / self.get_buffer(f"spread{level}")
            for level, features in enumerate(levels)
        ]


class Sampling(NamedTuple):
    """Which frames of a trajectory are looked at, and how they make up windows."""

    candidates: NDArray[np.int64]
    """``[N]``: frames that are scored."""
    frames: NDArray[np.int64]
    """``[M]``: frames whose features are needed, each once."""
    windows: NDArray[np.int64]
    """``[N, T]``: each candidate's window, as positions in ``frames``."""


def sample_windows(params: DDMNetConfig, length: int, fps: float) -> Sampling:
    """The windows over a trajectory of ``length`` frames at ``fps`` Hz; beyond its ends its end frames repeat."""
    candidates = np.arange(0, length, params.stride.frames(length, fps))
    radius = params.network.radius
    offsets = np.arange(-radius, radius + 1) * params.step.frames(length, fps)
    wanted = (candidates[:, None] + offsets).clip(0, length - 1)
    frames, windows = np.unique(wanted, return_inverse=True)
    return Sampling(candidates, frames, windows.reshape(wanted.shape))


def frame_rate(timestamps: NDArray[np.float64]) -> float:
    """Frames per second (Hz) of ``timestamps`` ``[T]`` (s): by the median interval, so that a gap does not count."""
    return 1 / float(np.median(np.diff(timestamps))) if len(timestamps) > 1 else 1.0


class DDMNetDetector:
    """A trained DDM-Net; see `BoundaryDetector`.

    Args:
        folder: as `detector_folder.save_detector` wrote it, with the modules ``scale`` and ``network``.

    Raises:
        ArtifactError: when the folder holds no detector of this format, or the backbone's weights here are others.
    """

    def __init__(self, folder: Path) -> None:
        self.description = read_description(folder, DDMNetDescription)
        self.params = self.description.ddm_net
        self.backbone = Backbone(self.params.backbone)
        if self.backbone.fingerprint != self.description.backbone:
            raise ArtifactError(
                f"The detector in {folder} was trained behind other weights of {self.params.backbone.network}; "
                "install those, or train it anew."
            )
        self.scale = FeatureScale(self.description.channels)
        self.network = DDMNet(self.params.network, self.description.channels)
        load_weights(folder, {"scale": self.scale, "network": self.network})

    def score(
        self, views: Sequence[Sequence[NDArray[np.uint8]]], timestamps: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Boundary probabilities ``[T]``; see `BoundaryDetector.score`. Each frame passes the backbone once at most."""
        if len(timestamps) == 0:
            return np.zeros(0, np.float32)
        sampling = sample_windows(self.params, len(timestamps), frame_rate(timestamps))
        levels = self.backbone.describe_views(views, sampling.frames.tolist())
        return self.score_features(levels, sampling, len(timestamps))

    @torch.inference_mode()
    def score_features(self, levels: Sequence[Tensor], sampling: Sampling, length: int) -> NDArray[np.float32]:
        """The same from the features ``[M, C]`` of each level of the frames ``sampling.frames``."""
        scaled, windows = self.scale(levels), torch.from_numpy(sampling.windows)
        parts = [
            self.network.score([level[windows[start : start + _BATCH]] for level in scaled])
            for start in range(0, len(windows), _BATCH)
        ]
        scores: NDArray[np.float32] = torch.cat(parts).numpy()
        return np.interp(np.arange(length), sampling.candidates, scores).astype(np.float32)
