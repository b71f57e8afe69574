"""Trains DDM-Net on labelled event boundaries, behind a frozen backbone whose features are computed once.

Everything random is drawn from the seed and the number of the step, so a training that continues from a checkpoint
ends with the weights of one that was never interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dualvla_core.errors import ConfigError
from dualvla_core.events.config import DDMNetConfig, DetectorTrainingConfig
from dualvla_core.events.ddm_detector import FeatureScale, Sampling, sample_windows
from dualvla_core.events.ddm_net import DDMNet, boundary_loss
from dualvla_core.events.labels import LabelledEpisode
from dualvla_core.progress import Progress, silent
from dualvla_core.training.checkpoints import Checkpoints

STATE_FILE = "state.pt"
_CLIP = 1.0


class TrainedDDMNet(NamedTuple):
    """What a training gives."""

    scale: FeatureScale
    network: DDMNet
    loss: float
    """Mean of the last tenth of the steps."""
    windows: int
    positives: int
    channels: tuple[int, ...]
    """Features per level."""


class _Windows(NamedTuple):
    """Every window of every episode: rows of one feature table per level."""

    levels: list[Tensor]
    """``[F, C]`` per level, the frames of all episodes end to end."""
    rows: Tensor
    """``[N, T]``"""
    labels: Tensor
    """``[N]``: 1 near a boundary."""


def train_ddm_net(
    params: DDMNetConfig,
    training: DetectorTrainingConfig,
    episodes: Sequence[LabelledEpisode],
    features: Mapping[str, tuple[Sequence[Tensor], Sampling]],
    checkpoints: Checkpoints | None = None,
    progress: Progress = silent,
) -> TrainedDDMNet:
    """Train on ``episodes``, given each one's features of `Backbone.describe` and its `sample_windows`.

    Each step draws as many windows with a boundary as without: boundaries are rare, and DDM-Net's sampler does so too.
    With ``checkpoints`` the state is saved now and then, and taken up where there is one.

    Raises `ConfigError` when the episodes hold no boundary, or nothing else.
    """
    windows = _gather(training, episodes, features)
    channels = tuple(level.shape[1] for level in windows.levels)
    torch.manual_seed(training.seed)
    network, scale = DDMNet(params.network, channels), FeatureScale(channels)
    scale.fit(windows.levels)
    levels = scale(windows.levels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
    classes = [torch.nonzero(windows.labels == label).flatten() for label in (1, 0)]
    losses: list[float] = []
    _restore(checkpoints, network, optimizer, losses)
    network.train()
    for step in range(len(losses), training.steps):
        torch.manual_seed(_derived(training.seed, step))
        batch = torch.cat([rows[torch.randint(len(rows), (training.windows_per_class,))] for rows in classes])
        logits = network([level[windows.rows[batch]] for level in levels])
        loss = boundary_loss(logits, windows.labels[batch])
        for group in optimizer.param_groups:
            group["lr"] = training.learning_rate * learning_rate_factor(training, step)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), _CLIP)
        optimizer.step()
        losses.append(loss.item())
        progress(step + 1, training.steps)
        if checkpoints is not None and len(losses) % checkpoints.every == 0 and len(losses) < training.steps:
            _save(checkpoints, network, optimizer, losses)
    recent = losses[-max(1, len(losses) // 10) :]
    network.eval()
    return TrainedDDMNet(scale, network, sum(recent) / len(recent), len(windows.labels), len(classes[0]), channels)


def learning_rate_factor(training: DetectorTrainingConfig, step: int) -> float:
    """Share of the peak learning rate in ``step`` (from 0): linear warm-up, then a cosine to zero."""
    if step < training.warmup_steps:
        return (step + 1) / training.warmup_steps
    done = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
    return (1 + math.cos(math.pi * done)) / 2


def window_labels(training: DetectorTrainingConfig, episode: LabelledEpisode, sampling: Sampling) -> Tensor:
    """The class ``[N]`` of each candidate of ``episode``: 1 within `positive` of a boundary, else 0."""
    reach = training.positive.frames(episode.length, episode.fps)
    apart = np.abs(sampling.candidates[:, None] - np.array(episode.boundaries, np.int64)[None])
    return torch.from_numpy((apart <= reach).any(1).astype(np.int64))


def training_windows(params: DDMNetConfig, episode: LabelledEpisode) -> Sampling:
    """The windows of a labelled episode."""
    return sample_windows(params, episode.length, episode.fps)


def _gather(
    training: DetectorTrainingConfig,
    episodes: Sequence[LabelledEpisode],
    features: Mapping[str, tuple[Sequence[Tensor], Sampling]],
) -> _Windows:
    parts, rows, labels, start = [], [], [], 0
    for episode in episodes:
        levels, sampling = features[episode.episode]
        parts.append(levels)
        rows.append(torch.from_numpy(sampling.windows) + start)
        labels.append(window_labels(training, episode, sampling))
        start += len(sampling.frames)
    classes = torch.cat(labels)
    if not 0 < int(classes.sum()) < len(classes):
        raise ConfigError(
            f"The {len(episodes)} episodes to learn from hold {int(classes.sum())} windows with a boundary and "
            f"{int((1 - classes).sum())} without; both kinds are needed, so label others or narrow "
            "events_training.training.positive."
        )
    return _Windows([torch.cat(level) for level in zip(*parts, strict=True)], torch.cat(rows), classes)


def _save(checkpoints: Checkpoints, network: DDMNet, optimizer: torch.optim.Optimizer, losses: Sequence[float]) -> None:
    if checkpoints.store is None:
        return
    folder = checkpoints.scratch / f"step-{len(losses):06d}"
    folder.mkdir(parents=True, exist_ok=True)
    state = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "losses": list(losses)}
    torch.save(state, folder / STATE_FILE)
    checkpoints.store.save(len(losses), folder)


def _restore(
    checkpoints: Checkpoints | None, network: DDMNet, optimizer: torch.optim.Optimizer, losses: list[float]
) -> None:
    saved = None if checkpoints is None or checkpoints.store is None else checkpoints.store.latest()
    if saved is not None:
        state = torch.load(saved[1] / STATE_FILE, weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        losses += state["losses"]


def _derived(seed: int, step: int) -> int:
    """A seed of its own for each step."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)
