from __future__ import annotations

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from dualvla_core.errors import ConfigError  # noqa: E402
from dualvla_core.events.config import DDMNetConfig, DetectorTrainingConfig, Span  # noqa: E402
from dualvla_core.events.ddm_detector import Sampling, sample_windows  # noqa: E402
from dualvla_core.events.labels import LabelledEpisode  # noqa: E402
from dualvla_core.events.training import (  # noqa: E402
    TrainedDDMNet,
    learning_rate_factor,
    train_ddm_net,
    window_labels,
)
from dualvla_core.training.checkpoints import Checkpoints  # noqa: E402

CHANNELS = (3, 4, 5)
POSITIVE = Span(seconds=0.1, fraction=1)


class KeptInAFolder:
    """A checkpoint store; stops the training after ``stop`` of them."""

    def __init__(self, folder: Path, stop: int | None = None) -> None:
        self.folder, self.stop, self.steps = folder, stop, list[int]()

    def save(self, step: int, folder: Path) -> None:
        shutil.copytree(folder, self.folder / str(step))
        self.steps.append(step)
        if len(self.steps) == self.stop:
            raise KeyboardInterrupt

    def latest(self) -> tuple[int, Path] | None:
        steps = [int(path.name) for path in self.folder.iterdir()]
        return (max(steps), self.folder / str(max(steps))) if steps else None


def _episodes(count: int = 6) -> list[LabelledEpisode]:
    return [LabelledEpisode(f"e{number}", f"e{number}", "t", 30, 10.0, (8 + 2 * number,)) for number in range(count)]


def _features(params: DDMNetConfig, episodes: list[LabelledEpisode]) -> dict[str, tuple[list[torch.Tensor], Sampling]]:
    """Features that jump at the boundary."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for each in episodes:
        after = (torch.arange(each.length) >= each.boundaries[0]).float()[:, None]
        levels = [2 * after + 0.3 * torch.randn(each.length, size, generator=generator) for size in CHANNELS]
        found[each.episode] = (levels, sample_windows(params, each.length, each.fps))
    return found


def _train(
    params: DDMNetConfig, training: DetectorTrainingConfig, checkpoints: Checkpoints | None = None
) -> TrainedDDMNet:
    episodes = _episodes()
    return train_ddm_net(params, training, episodes, _features(params, episodes), checkpoints)


def test_windows_near_a_boundary_are_positives(small_ddm_net: DDMNetConfig) -> None:
    episode = LabelledEpisode("e", "e", "t", 10, 10.0, (2, 7))
    sampling = sample_windows(small_ddm_net, 10, 10.0)
    labels = window_labels(DetectorTrainingConfig(positive=POSITIVE), episode, sampling)
    assert labels.tolist() == [0, 1, 1, 1, 0, 0, 1, 1, 1, 0]
    none = window_labels(DetectorTrainingConfig(), episode._replace(boundaries=()), sampling)
    assert none.sum() == 0


def test_the_learning_rate_warms_up_and_falls_to_zero() -> None:
    training = DetectorTrainingConfig(steps=110, warmup_steps=10)
    assert learning_rate_factor(training, 0) == pytest.approx(0.1)
    assert learning_rate_factor(training, 10) == pytest.approx(1)
    assert learning_rate_factor(training, 60) == pytest.approx(0.5)
    assert learning_rate_factor(training, 109) < 0.001


def test_it_learns_to_tell_a_jump(small_ddm_net: DDMNetConfig) -> None:
    training = DetectorTrainingConfig(steps=60, warmup_steps=5, learning_rate=3e-3, positive=POSITIVE)
    trained = _train(small_ddm_net, training)
    assert (trained.windows, trained.positives) == (180, 18)
    new = [LabelledEpisode("new", "new", "t", 30, 10.0, (21,))]
    levels, sampling = _features(small_ddm_net, new)["new"]
    with torch.inference_mode():
        scores = trained.network.score([level[sampling.windows] for level in trained.scale(levels)])
    assert abs(int(scores.argmax()) - 21) <= 1
    assert scores[21] > 0.8
    assert scores[:18].max() < 0.5


def test_a_continued_training_ends_as_an_uninterrupted_one(small_ddm_net: DDMNetConfig, tmp_path: Path) -> None:
    training = DetectorTrainingConfig(steps=12, windows_per_class=4, positive=POSITIVE)
    kept = tmp_path / "kept"
    kept.mkdir()
    with pytest.raises(KeyboardInterrupt):
        _train(small_ddm_net, training, Checkpoints(KeptInAFolder(kept, stop=2), 4, tmp_path / "scratch"))
    store = KeptInAFolder(kept)
    continued = _train(small_ddm_net, training, Checkpoints(store, 4, tmp_path / "scratch"))
    assert store.steps == []  # steps 4 and 8 are there already, and the end is no checkpoint
    whole = _train(small_ddm_net, training)
    assert continued.loss == whole.loss
    for name, value in whole.network.state_dict().items():
        assert torch.equal(value, continued.network.state_dict()[name]), name


def test_another_seed_learns_otherwise(small_ddm_net: DDMNetConfig) -> None:
    losses = {
        _train(small_ddm_net, DetectorTrainingConfig(steps=2, positive=POSITIVE, seed=seed)).loss for seed in (0, 0, 1)
    }
    assert len(losses) == 2


def test_episodes_without_boundary_teach_nothing(small_ddm_net: DDMNetConfig) -> None:
    episodes = [each._replace(boundaries=()) for each in _episodes(2)]
    features = _features(small_ddm_net, _episodes(2))
    with pytest.raises(ConfigError, match="0 windows with a boundary and 60 without"):
        train_ddm_net(small_ddm_net, DetectorTrainingConfig(), episodes, features)
