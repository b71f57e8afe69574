"""Event boundaries from motion: the arm's velocity is read off the video, and boundaries are found in that.

Where phases of manipulation begin, the picture's content changes little and its motion changes much. What moves most is
the arm, and how it moved was recorded with every demonstration that a detector learns from: one kind of network learns
to read the velocity off the optical flow (visual odometry), another to find boundaries in recorded velocities. A third
finds them in the flow itself, where things move that are not the arm, and counts for less. When boundaries are
detected, the video is all that is looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import nn

from dualvla_core.errors import ConfigError
from dualvla_core.events.arm import with_speed
from dualvla_core.events.config import MotionNetConfig, TemporalNetConfig
from dualvla_core.events.ddm_detector import frame_rate
from dualvla_core.events.detector_folder import Description, load_weights, read_description
from dualvla_core.events.optical_flow import flow_sequence
from dualvla_core.events.temporal_net import TemporalNet, averaged

_OTHER_RATE = 1.5  # times as many frames per second as in training are too many: convolutions count frames


class MotionNet(nn.Module):
    """The networks of all three kinds.

    Args:
        flow_share: weight of what is found in the flow.
        odometry: networks (`TemporalNet`) from flow to the arm's velocity.
        in_velocity: networks from velocity and speed to the logit of a boundary.
        in_flow: networks from flow to the logit of a boundary.
    """

    def __init__(
        self, flow_share: float, odometry: nn.ModuleList, in_velocity: nn.ModuleList, in_flow: nn.ModuleList
    ) -> None:
        super().__init__()
        self.flow_share = flow_share
        self.odometry, self.in_velocity, self.in_flow = odometry, in_velocity, in_flow

    def velocity(self, flow: NDArray[np.float32]) -> NDArray[np.float64]:
        """The arm's velocity ``[T, coordinates]`` (m/s; joints as recorded) in one episode's flow ``[T, flows]``."""
        return averaged(self.odometry, flow).numpy().astype(np.float64)

    def score(self, flow: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boundary probabilities ``[T]`` of one episode's flow ``[T, flows]``."""
        of_arm = boundary_scores(self.in_velocity, with_speed(self.velocity(flow)))
        return (1 - self.flow_share) * of_arm + self.flow_share * boundary_scores(self.in_flow, flow)


def untrained(params: MotionNetConfig, cameras: int, coordinates: int) -> MotionNet:
    """Networks that have learned nothing yet, for so many cameras and coordinates of the arm's velocity."""

    def members(sizes: TemporalNetConfig, channels: int, outputs: int) -> nn.ModuleList:
        return nn.ModuleList(TemporalNet(sizes, channels, outputs) for _ in range(params.members))

    flows = cameras * params.flow.grid**2 * 2
    return MotionNet(
        params.flow_share,
        members(params.odometry, flows, coordinates),
        members(params.boundaries, coordinates + 1, 1),
        members(params.boundaries, flows, 1),
    )


def boundary_scores(networks: nn.ModuleList, motion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean boundary probabilities ``[T]`` that the ``networks`` give one episode's ``motion`` ``[T, C]``."""
    scores: NDArray[np.float32] = averaged(networks, motion, torch.sigmoid)[:, 0].numpy()
    return scores


def flow_of_views(
    params: MotionNetConfig, views: Sequence[Sequence[NDArray[np.uint8]]], timestamps: NDArray[np.float64]
) -> NDArray[np.float32]:
    """The flow ``[T, flows]`` of each of the ``views`` side by side (image sides per s)."""
    return np.hstack([flow_sequence(params.flow, frames, timestamps) for frames in views])


class MotionNetDescription(Description):
    """What a trained motion network's folder says about itself."""

    motion_net: MotionNetConfig = Field(description="Settings it was trained with.")
    cameras: tuple[str, ...] = Field(description="Cameras it was trained on; none = the first of each episode.")
    coordinates: int = Field(ge=1, description="Coordinates of the arm's velocity.")
    fps: float = Field(gt=0, description="Frames per second of what it was trained on (Hz).")


class MotionNetDetector:
    """A trained motion network; see `BoundaryDetector`.

    Args:
        folder: as `detector_folder.save_detector` wrote it, with the module ``network``.

    Raises `ArtifactError` when the folder holds no detector of this kind.
    """

    def __init__(self, folder: Path) -> None:
        self.description = read_description(folder, MotionNetDescription)
        self.params = self.description.motion_net
        self.network = untrained(self.params, max(1, len(self.description.cameras)), self.description.coordinates)
        load_weights(folder, {"network": self.network})

    def score(
        self, views: Sequence[Sequence[NDArray[np.uint8]]], timestamps: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """Boundary probabilities ``[T]``; see `BoundaryDetector.score`.

        Raises `ConfigError` when the frames come much faster or slower than those it was trained on.
        """
        fps = frame_rate(timestamps)
        if len(timestamps) > 1 and not 1 / _OTHER_RATE < fps / self.description.fps < _OTHER_RATE:
            raise ConfigError(
                f"The motion network was trained at {self.description.fps:g} frames per second and this video has "
                f"{fps:g}; train one at that rate, or choose another detector."
            )
        if len(timestamps) == 0:
            return np.zeros(0, np.float32)
        return self.network.score(flow_of_views(self.params, views, timestamps))
