from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dualvla_core.events.config import BackboneConfig, NoveltyConfig  # noqa: E402
from dualvla_core.events.novelty import NoveltyDetector, checkerboard_novelty, cosine  # noqa: E402


def test_two_scenes_are_separated_where_one_follows_the_other() -> None:
    same = np.repeat([1, -1], 4)
    novelty = checkerboard_novelty(np.outer(same, same).astype(float), half=2)
    assert novelty[4] == pytest.approx(1)  # within each side 1, across -1
    assert novelty.argmax() == 4
    assert novelty[[0, 1, 2, 6, 7]].tolist() == [0] * 5  # windows that lie within one scene


def test_the_kernel_by_hand() -> None:
    # One frame each side: within = 1 (each with itself), across = 0.2
    similarity = np.array([[1, 0.2], [0.2, 1]])
    assert checkerboard_novelty(similarity, half=1).tolist() == [0, pytest.approx(0.4)]


def test_near_frames_weigh_more() -> None:
    # two frames each side at distances 1/2 and 3/2: taper exp(-1/8) and exp(-9/8), so the ratio is e
    similarity = np.eye(4)
    near, far = np.exp(-1 / 8), np.exp(-9 / 8)
    within = (near**2 + far**2) / (near + far) ** 2
    assert checkerboard_novelty(similarity, half=2)[2] == pytest.approx(within / 2)


def test_similarity_is_the_cosine() -> None:
    vectors = torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [0.0, 0.0]])
    assert cosine(vectors).tolist() == [[1, 0, -1, 0], [0, 1, 0, 0], [-1, 0, 1, 0], [0, 0, 0, 0]]


class DrawnFeatures:
    """A backbone that has seen the features already."""

    def __init__(self, features: np.ndarray) -> None:
        self.features = torch.from_numpy(features.astype(np.float32))

    def describe_views(self, _views: Any, indices: Sequence[int]) -> list[Any]:
        return [self.features[indices]]


def _score(small_backbone: BackboneConfig, features: np.ndarray, compares: str) -> np.ndarray:
    detector = NoveltyDetector(NoveltyConfig.model_validate({"backbone": small_backbone, "compares": compares}))
    detector.backbone = DrawnFeatures(features)  # type: ignore[assignment]
    return detector.score([[]], np.arange(len(features)) / 10)


def test_a_turn_is_new_and_going_on_is_not(small_backbone: BackboneConfig) -> None:
    times = np.arange(31)
    straight = np.stack([times, 0 * times, 0 * times + 100.0], axis=1)
    turning = np.stack([np.minimum(times, 14), np.maximum(times - 14, 0), 0 * times + 100.0], axis=1)
    assert _score(small_backbone, straight, "changes").max() < 0.01
    scores = _score(small_backbone, turning, "changes")
    assert scores.argmax() == 14
    assert np.delete(scores, range(9, 20)).max() < 0.01


def test_features_themselves_are_newest_where_they_change_fastest(small_backbone: BackboneConfig) -> None:
    steps = np.where(abs(np.arange(30) - 20) <= 1, 5.0, 0.1)
    path = np.stack([np.cumsum(steps), np.full(30, 100.0)], axis=1)
    assert abs(int(_score(small_backbone, path, "features").argmax()) - 20) <= 1


def test_a_change_of_scene_is_found(small_backbone: BackboneConfig) -> None:
    rng = np.random.default_rng(0)
    scenes = [rng.integers(0, 255, (48, 48, 3), np.uint8) for _ in range(2)]
    frames = [
        (scenes[index >= 13].astype(int) + rng.integers(0, 3, (48, 48, 3))).clip(0, 255).astype(np.uint8)
        for index in range(30)
    ]
    detector = NoveltyDetector(NoveltyConfig(backbone=small_backbone, compares="features"))
    scores = detector.score([frames], np.arange(30) / 10)
    assert scores.argmax() == 13
    assert scores.dtype == np.float32
    assert ((scores >= 0) & (scores < 1)).all()
    assert scores[0] == 0


@pytest.mark.parametrize("length", [0, 1, 2])
def test_hardly_any_frames(length: int, small_backbone: BackboneConfig) -> None:
    frames = [np.zeros((32, 32, 3), np.uint8)] * length
    scores = NoveltyDetector(NoveltyConfig(backbone=small_backbone)).score([frames], np.arange(length) / 10)
    assert scores.tolist() == [0] * length


def test_a_still_trajectory_has_no_boundary(small_backbone: BackboneConfig) -> None:
    frames = [np.full((32, 32, 3), 90, np.uint8)] * 20
    assert NoveltyDetector(NoveltyConfig(backbone=small_backbone)).score([frames], np.arange(20) / 10).max() < 0.5
