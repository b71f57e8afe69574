"""Trains the motion network: to read the arm's velocity off optical flow, and to find boundaries in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from dualvla_core.errors import ConfigError
from dualvla_core.events.arm import ArmMotion, arm_velocity
from dualvla_core.events.config import DetectorTrainingConfig, MotionNetConfig
from dualvla_core.events.labels import LabelledEpisode
from dualvla_core.events.motion_net import MotionNet
from dualvla_core.events.peaks import boundary_distances
from dualvla_core.events.temporal_net import Lesson, train_networks
from dualvla_core.progress import Progress, silent


class TrainedMotionNet(NamedTuple):
    """What a training gives."""

    network: MotionNet
    odometry_loss: float
    """Smooth L1 of velocities in their spread; mean of the last tenth of the steps."""
    loss: float
    """Cross-entropy of the boundaries in recorded velocities; the same mean."""
    coordinates: int
    """Of the velocity it reads."""


class TrainedBoundaries(NamedTuple):
    """Networks that find boundaries in sequences of motion, and their mean loss."""

    networks: nn.ModuleList
    loss: float


def train_motion_net(
    params: MotionNetConfig,
    training: DetectorTrainingConfig,
    episodes: Sequence[LabelledEpisode],
    flows: Mapping[str, NDArray[np.float32]],
    motions: Mapping[str, ArmMotion],
    progress: Progress = silent,
) -> TrainedMotionNet:
    """Train on ``episodes``, given each one's flow ``[T, flows]`` and recorded motion.

    Of ``training``, ``positive`` and ``seed`` count.

    Raises `ConfigError` when the episodes hold no boundary, or nothing else, or arms of different kinds.
    """
    hands = hands_of(episodes, motions)
    velocities = {each.episode: arm_velocity(motions[each.episode]) for each in episodes}
    finding, reading = (params.members * part.steps for part in (params.boundaries, params.odometry))
    total = 2 * finding + reading
    lesson = Lesson(
        inputs=[torch.from_numpy(flows[each.episode]) for each in episodes],
        wanted=[torch.from_numpy(velocities[each.episode][:, :-1]) for each in episodes],
        error=lambda outputs, wanted: functional.smooth_l1_loss(outputs, wanted, reduction="none"),
        scaled=True,
    )
    in_velocity = train_boundaries(params, training, episodes, velocities, hands, lambda n, _: progress(n, total))
    in_flow = train_boundaries(params, training, episodes, flows, 0, lambda n, _: progress(finding + n, total))
    odometry, odometry_loss = train_networks(
        params.odometry, lesson, params.members, training.seed, lambda n, _: progress(2 * finding + n, total)
    )
    network = MotionNet(params.flow_share, odometry, in_velocity.networks, in_flow.networks)
    return TrainedMotionNet(network, odometry_loss, in_velocity.loss, lesson.wanted[0].shape[1])


def hands_of(episodes: Sequence[LabelledEpisode], motions: Mapping[str, ArmMotion]) -> int:
    """Hands of the arm that recorded all of ``episodes``. Raises `ConfigError` when there were several kinds of arm."""
    kinds = {(motion.places.shape[1], motion.hands) for motion in (motions[each.episode] for each in episodes)}
    if len(kinds) > 1:
        raise ConfigError(
            f"The episodes to learn from were recorded with {len(kinds)} kinds of arms; a motion network learns from "
            "one, so train on the episodes of one robot, or choose ddm_net."
        )
    return kinds.pop()[1] if kinds else 0


def train_boundaries(
    params: MotionNetConfig,
    training: DetectorTrainingConfig,
    episodes: Sequence[LabelledEpisode],
    motion: Mapping[str, NDArray[np.float32]],
    hands: int,
    progress: Progress = silent,
) -> TrainedBoundaries:
    """Networks that learned the `boundary_lesson`. Raises `ConfigError` as that does."""
    lesson = boundary_lesson(params, training, episodes, motion, hands)
    return TrainedBoundaries(*train_networks(params.boundaries, lesson, params.members, training.seed, progress))


def boundary_lesson(
    params: MotionNetConfig,
    training: DetectorTrainingConfig,
    episodes: Sequence[LabelledEpisode],
    motion: Mapping[str, NDArray[np.float32]],
    hands: int,
) -> Lesson:
    """To find the boundaries of ``episodes`` in each one's ``motion`` ``[T, C]``.

    Boundaries are rare, so they weigh more: by the square root of how much rarer they are, which keeps false alarms
    dear. All of what is learned from has noise on it, and half of it is seen `turned`, if it is the motion of
    ``hands``.

    Raises `ConfigError` when the episodes hold no boundary, or nothing else.
    """
    labels = [near_boundary(training, each) for each in episodes]
    positives, frames = int(sum(each.sum() for each in labels)), sum(len(each) for each in labels)
    if not 0 < positives < frames:
        raise ConfigError(
            f"Of the {frames} frames of the {len(episodes)} episodes to learn from {positives} are near a boundary; "
            "both kinds are needed, so label others or narrow events_training.training.positive."
        )
    weight = torch.tensor((frames - positives) / positives).sqrt()
    inputs = [torch.from_numpy(motion[each.episode]) for each in episodes]
    noise = params.noise * torch.cat(inputs).std(0, correction=0)

    def varied(sequence: Tensor) -> Tensor:
        seen = turned(sequence, hands, *torch.rand(2).tolist()) if torch.rand(()) < 0.5 else sequence
        return seen + noise * torch.randn_like(sequence)

    return Lesson(
        inputs=inputs,
        wanted=[each[:, None] for each in labels],
        error=lambda outputs, wanted: functional.binary_cross_entropy_with_logits(
            outputs, wanted, pos_weight=weight, reduction="none"
        ),
        varied=varied,
    )


def turned(velocity: Tensor, hands: int, turn: float, side: float) -> Tensor:
    """Velocities ``[T, D + 1]`` as they would be on a table that was turned by ``turn`` (of a whole turn).

    It is mirrored, too, where ``side`` is below a half. Where something begins does not depend on which way the table
    faces; up stays up. The first three coordinates of each of the ``hands`` are its velocity in space.
    """
    angle = torch.tensor(turn * 2 * torch.pi)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    seen = velocity.clone()
    for hand in range(hands):
        x, y = velocity[:, 3 * hand], velocity[:, 3 * hand + 1] * (-1 if side < 0.5 else 1)
        seen[:, 3 * hand], seen[:, 3 * hand + 1] = x * cosine - y * sine, x * sine + y * cosine
    return seen


def near_boundary(training: DetectorTrainingConfig, episode: LabelledEpisode) -> Tensor:
    """1 on each frame ``[T]`` within `positive` of a boundary of ``episode``, else 0."""
    reach = training.positive.frames(episode.length, episode.fps)
    distances = boundary_distances(episode.length, np.array(episode.boundaries, np.int64))
    return torch.from_numpy((distances <= reach) & (len(episode.boundaries) > 0)).float()
