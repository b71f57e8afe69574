"""Event boundaries from motion: convolutions over time, on the optical flow of every frame of a video.

Where phases of manipulation begin, the picture's content changes little and its motion changes much. A network that is
given the motion need not learn to see: it has thirty thousand weights and trains in seconds. It sees a whole episode at
once, the ends of the recording included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from dualvla_core.errors import ConfigError
from dualvla_core.events.config import DetectorTrainingConfig, MotionNetConfig
from dualvla_core.events.ddm_detector import frame_rate
from dualvla_core.events.detector_folder import Description, load_weights, read_description
from dualvla_core.events.labels import LabelledEpisode
from dualvla_core.events.optical_flow import flow_sequence
from dualvla_core.events.peaks import boundary_distances
from dualvla_core.progress import Progress, silent

_STILL = 1e-3  # least spread that motion is scaled by: what never moves is not blown up
_OTHER_RATE = 1.5  # times as many frames per second as in training are too many: convolutions count frames


class MotionNet(nn.Module):
    """Dilated convolutions with short cuts, over the motion at every frame.

    Args:
        params: sizes.
        channels: numbers that describe a frame's motion.
    """

    def __init__(self, params: MotionNetConfig, channels: int) -> None:
        super().__init__()
        width = params.width
        self.register_buffer("spread", torch.ones(channels))
        self.enter = nn.Conv1d(channels + 1, width, 1)
        self.blocks = nn.ModuleList(
            nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation) for dilation in params.dilations
        )
        self.leave = nn.Conv1d(width, 1, 1)
        self.dropout = nn.Dropout(params.dropout)

    def forward(self, motion: Tensor, inside: Tensor) -> Tensor:
        """Logits ``[B, T]`` of motion ``[B, T, C]``; ``inside`` ``[B, T]`` is 1 on frames, 0 on padding."""
        mask = inside[:, None]
        hidden = self.enter(torch.cat([(motion / self.get_buffer("spread")).transpose(1, 2), mask], dim=1)) * mask
        for block in self.blocks:
            hidden = hidden + self.dropout(functional.relu(block(functional.relu(hidden) * mask)))
        logits: Tensor = self.leave(functional.relu(hidden))[:, 0]
        return logits

    @torch.inference_mode()
    def score(self, motion: NDArray[np.float32]) -> NDArray[np.float32]:
        """Boundary probabilities ``[T]`` of one episode's motion ``[T, C]``."""
        if len(motion) == 0:
            return np.zeros(0, np.float32)
        scores: NDArray[np.float32] = (
            self(torch.from_numpy(motion)[None], torch.ones(1, len(motion)))[0].sigmoid().numpy()
        )
        return scores


class TrainedMotionNet(NamedTuple):
    """What a training gives."""

    network: MotionNet
    loss: float
    """Mean of the last tenth of the steps."""
    frames: int
    positives: int


def train_motion_net(
    params: MotionNetConfig,
    training: DetectorTrainingConfig,
    episodes: Sequence[LabelledEpisode],
    motion: Mapping[str, NDArray[np.float32]],
    progress: Progress = silent,
) -> TrainedMotionNet:
    """Train on ``episodes``, given each one's motion ``[T, C]``; of ``training``, ``positive`` and ``seed`` count.

    Each step takes whole episodes, drawn with replacement. Boundaries are rare, so they weigh more: by the square root
    of how much rarer they are, which keeps false alarms dear. There are no checkpoints; a training that was killed
    starts anew.

    Raises `ConfigError` when the episodes hold no boundary, or nothing else.
    """
    labels = [near_boundary(training, each) for each in episodes]
    positives, frames = int(sum(each.sum() for each in labels)), sum(len(each) for each in labels)
    if not 0 < positives < frames:
        raise ConfigError(
            f"Of the {frames} frames of the {len(episodes)} episodes to learn from {positives} are near a boundary; "
            "both kinds are needed, so label others or narrow events_training.training.positive."
        )
    inputs = [torch.from_numpy(motion[each.episode]) for each in episodes]
    weight = torch.tensor((frames - positives) / positives).sqrt()
    draws = np.random.default_rng(training.seed)
    losses: list[float] = []
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        network = MotionNet(params, inputs[0].shape[1])
        network.get_buffer("spread").copy_(torch.cat(inputs).std(0, correction=0).clamp_min(_STILL))
        optimizer = torch.optim.AdamW(network.parameters(), lr=params.learning_rate, weight_decay=params.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, params.steps)
        network.train()
        for step in range(params.steps):
            chosen = draws.integers(0, len(episodes), params.episodes_per_step).tolist()
            batch, wanted, inside = _padded([inputs[each] for each in chosen], [labels[each] for each in chosen])
            errors = functional.binary_cross_entropy_with_logits(
                network(batch, inside), wanted, pos_weight=weight, reduction="none"
            )
            loss = (errors * inside).sum() / inside.sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            progress(step + 1, params.steps)
    recent = losses[-max(1, len(losses) // 10) :]
    return TrainedMotionNet(network.eval(), sum(recent) / len(recent), frames, positives)


def near_boundary(training: DetectorTrainingConfig, episode: LabelledEpisode) -> Tensor:
    """1 on each frame ``[T]`` within `positive` of a boundary of ``episode``, else 0."""
    reach = training.positive.frames(episode.length, episode.fps)
    distances = boundary_distances(episode.length, np.array(episode.boundaries, np.int64))
    return torch.from_numpy((distances <= reach) & (len(episode.boundaries) > 0)).float()


def _padded(inputs: Sequence[Tensor], labels: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Episodes side by side: motion ``[B, T, C]``, labels and which frames are there ``[B, T]``."""
    inside = [torch.ones(len(each)) for each in labels]
    motion, wanted, there = (
        nn.utils.rnn.pad_sequence(list(part), batch_first=True) for part in (inputs, labels, inside)
    )
    return motion, wanted, there


class MotionNetDescription(Description):
    """What a trained motion network's folder says about itself."""

    motion_net: MotionNetConfig = Field(description="Settings it was trained with.")
    camera: str | None = Field(description="Camera it was trained on; none = the first of each episode.")
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
        self.network = MotionNet(self.params, self.params.flow.grid**2 * 2)
        load_weights(folder, {"network": self.network})

    def score(self, frames: Sequence[NDArray[np.uint8]], timestamps: NDArray[np.float64]) -> NDArray[np.float32]:
        """Boundary probabilities ``[T]``; see `BoundaryDetector.score`.

        Raises `ConfigError` when the frames come much faster or slower than those it was trained on.
        """
        fps = frame_rate(timestamps)
        if len(timestamps) > 1 and not 1 / _OTHER_RATE < fps / self.description.fps < _OTHER_RATE:
            raise ConfigError(
                f"The motion network was trained at {self.description.fps:g} frames per second and this video has "
                f"{fps:g}; train one at that rate, or choose another detector."
            )
        return self.network.score(flow_sequence(self.params.flow, frames, timestamps))
