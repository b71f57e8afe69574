from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dualvla_core.errors import ArtifactError, ConfigError  # noqa: E402
from dualvla_core.events.config import DetectorTrainingConfig, MotionNetConfig, Span  # noqa: E402
from dualvla_core.events.detector_folder import save_detector  # noqa: E402
from dualvla_core.events.labels import LabelledEpisode  # noqa: E402
from dualvla_core.events.motion_net import (  # noqa: E402
    MotionNet,
    MotionNetDescription,
    MotionNetDetector,
    near_boundary,
    train_motion_net,
)

SMALL = MotionNetConfig(width=8, dilations=(1, 2), steps=60, episodes_per_step=8, learning_rate=0.02)
TRAINING = DetectorTrainingConfig(positive=Span(seconds=0.1, fraction=1))


def _turning(count: int) -> tuple[list[LabelledEpisode], dict[str, np.ndarray]]:
    """Episodes of 24 to 29 frames at 10 Hz whose motion turns round once, at a frame of its own in each."""
    episodes, motion = [], {}
    for number in range(count):
        length, turn = 24 + number % 6, 6 + number % 11
        direction = np.where(np.arange(length) < turn, 0.2, -0.2)[:, None]
        episodes.append(LabelledEpisode(f"e{number}", f"e{number}", "t", length, 10.0, (turn,)))
        motion[f"e{number}"] = np.hstack([direction, np.zeros_like(direction)]).astype(np.float32)
    return episodes, motion


def test_it_learns_where_the_motion_turns() -> None:
    episodes, motion = _turning(30)
    calls: list[tuple[int, int]] = []
    trained = train_motion_net(SMALL, TRAINING, episodes[:20], motion, lambda *call: calls.append(call))
    assert calls == [(step, 60) for step in range(1, 61)]
    assert (trained.frames, trained.positives) == (sum(each.length for each in episodes[:20]), 3 * 20)
    for each in episodes[20:]:
        scores = trained.network.score(motion[each.episode])
        assert abs(int(scores.argmax()) - each.boundaries[0]) <= 1
        assert np.delete(scores, range(each.boundaries[0] - 3, each.boundaries[0] + 4)).max() < scores.max() / 2


def test_the_same_seed_gives_the_same_weights_and_disturbs_nobody() -> None:
    episodes, motion = _turning(6)
    short = SMALL.model_copy(update={"steps": 3})
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (train_motion_net(short, TRAINING, episodes, motion).network.state_dict() for _ in range(2))
    assert torch.rand(1) == expected
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = train_motion_net(short, TRAINING.model_copy(update={"seed": 1}), episodes, motion).network.state_dict()
    assert not torch.equal(first["enter.weight"], other["enter.weight"])


def test_padding_changes_no_score() -> None:
    torch.manual_seed(0)
    network = MotionNet(SMALL, 2).eval()
    motion = torch.randn(1, 10, 2)
    padded = torch.cat([motion, torch.randn(1, 5, 2)], dim=1)
    inside = torch.tensor([[1.0] * 10 + [0.0] * 5])
    with torch.inference_mode():
        assert torch.allclose(network(padded, inside)[0, :10], network(motion, inside[:, :10])[0], atol=1e-6)


def test_near_a_boundary_by_hand() -> None:
    episode = LabelledEpisode("e", "e", "t", 8, 10.0, (1, 6))
    assert near_boundary(TRAINING, episode).tolist() == [1, 1, 1, 0, 0, 1, 1, 1]
    assert near_boundary(TRAINING, episode._replace(boundaries=())).tolist() == [0] * 8


@pytest.mark.parametrize("boundaries", [(), tuple(range(24))])
def test_there_is_something_to_learn_or_it_says_so(boundaries: tuple[int, ...]) -> None:
    episode = LabelledEpisode("e", "e", "t", 24, 10.0, boundaries)
    with pytest.raises(
        ConfigError, match=f"Of the 24 frames of the 1 episodes to learn from {len(boundaries)} are near"
    ):
        train_motion_net(SMALL, TRAINING, [episode], {"e": np.zeros((24, 2), np.float32)})


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A detector with drawn weights, saved."""
    torch.manual_seed(3)
    description = MotionNetDescription(motion_net=SMALL, camera=None, fps=10.0)
    save_detector(tmp_path, description, {"network": MotionNet(SMALL, 32)})
    return tmp_path


def test_a_saved_detector_scores_the_frames_of_a_video(
    trained: Path, make_images: Callable[[np.ndarray], list[np.ndarray]]
) -> None:
    detector = MotionNetDetector(trained)
    frames = make_images(np.r_[np.zeros(6), np.linspace(0, 1, 8)])
    scores = detector.score(frames, np.arange(14) / 10)
    assert (scores.shape, scores.dtype) == ((14,), np.float32)
    assert len(set(scores.tolist())) > 6
    still = detector.score(frames[:6], np.arange(6) / 10)
    assert still[0] == pytest.approx(scores[0], abs=1e-6)  # nothing moves as far as the network sees from there


@pytest.mark.parametrize("length", [0, 1, 2])
def test_hardly_any_frames(length: int, trained: Path, make_images: Callable[[np.ndarray], list[np.ndarray]]) -> None:
    scores = MotionNetDetector(trained).score(make_images(np.zeros(length)), np.arange(length) / 10)
    assert (scores.shape, scores.dtype) == ((length,), np.float32)


def test_another_frame_rate_is_refused(trained: Path, make_images: Callable[[np.ndarray], list[np.ndarray]]) -> None:
    with pytest.raises(ConfigError, match="trained at 10 frames per second and this video has 20"):
        MotionNetDetector(trained).score(make_images(np.zeros(4)), np.arange(4) / 20)


def test_the_folder_of_another_kind_of_detector_is_refused(trained: Path) -> None:
    description = trained / "detector.json"
    description.write_text(description.read_text().replace("motion_net", "ddm_net"))
    with pytest.raises(ArtifactError, match="cannot be read as that of the configured detector"):
        MotionNetDetector(trained)
