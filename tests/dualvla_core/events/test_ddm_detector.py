from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dualvla_core.errors import ArtifactError  # noqa: E402
from dualvla_core.events.backbones import Backbone  # noqa: E402
from dualvla_core.events.config import DDMNetConfig, Span  # noqa: E402
from dualvla_core.events.ddm_detector import (  # noqa: E402
    DDMNetDescription,
    DDMNetDetector,
    FeatureScale,
    frame_rate,
    sample_windows,
)
from dualvla_core.events.ddm_net import DDMNet  # noqa: E402
from dualvla_core.events.detector_folder import save_detector  # noqa: E402

MakeImages = Callable[[np.ndarray], list[np.ndarray]]


class CountingFrames(Sequence[np.ndarray]):
    def __init__(self, frames: Sequence[np.ndarray]) -> None:
        self.frames = frames
        self.seen: list[int] = []

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: Any) -> Any:
        self.seen.append(index)
        return self.frames[index]


@pytest.fixture
def trained(small_ddm_net: DDMNetConfig, tmp_path: Path) -> Path:
    """A detector with drawn weights, saved."""
    backbone = Backbone(small_ddm_net.backbone)
    torch.manual_seed(3)
    network, scale = DDMNet(small_ddm_net.network, backbone.channels), FeatureScale(backbone.channels)
    scale.fit([torch.rand(9, size) for size in backbone.channels])
    description = DDMNetDescription(
        ddm_net=small_ddm_net, cameras=(), channels=backbone.channels, backbone=backbone.fingerprint
    )
    save_detector(tmp_path, description, {"scale": scale, "network": network})
    return tmp_path


def test_windows_by_hand(small_ddm_net: DDMNetConfig) -> None:
    params = small_ddm_net.model_copy(update={"stride": Span(seconds=0.2, fraction=1)})
    sampling = sample_windows(params, length=9, fps=20)  # a step is 2 frames, a candidate every 4th
    assert sampling.candidates.tolist() == [0, 4, 8]
    assert sampling.frames.tolist() == [0, 2, 4, 6, 8]
    windows = sampling.frames[sampling.windows].tolist()
    assert windows == [[0, 0, 0, 2, 4], [0, 2, 4, 6, 8], [4, 6, 8, 8, 8]]


def test_the_frame_rate_ignores_a_gap() -> None:
    assert frame_rate(np.array([0, 0.1, 0.2, 5.0, 5.1])) == pytest.approx(10)
    assert frame_rate(np.array([0.0])) == 1


def test_scores_are_those_of_windows_taken_one_by_one(trained: Path, make_images: MakeImages) -> None:
    frames = make_images(np.linspace(0, 1, 12))
    detector = DDMNetDetector(trained)
    scores = detector.score([frames], np.arange(12) / 10)
    assert len(set(scores.round(6).tolist())) == 12
    for centre in range(12):
        window = [frames[index] for index in np.arange(centre - 2, centre + 3).clip(0, 11)]
        levels = detector.scale(detector.backbone.describe(window, range(5)))
        alone = detector.network.score([level[None] for level in levels])
        assert scores[centre] == pytest.approx(alone.item(), abs=1e-5)


def test_each_frame_is_looked_at_once(trained: Path, make_images: MakeImages) -> None:
    frames = CountingFrames(make_images(np.linspace(0, 1, 30)))
    DDMNetDetector(trained).score([frames], np.arange(30) / 10)
    assert frames.seen == list(range(30))


def test_scores_between_candidates_are_interpolated(trained: Path, make_images: MakeImages) -> None:
    frames = CountingFrames(make_images(np.linspace(0, 1, 21)))
    scores = DDMNetDetector(trained).score([frames], np.arange(21) / 40)  # a candidate and a step every 4 frames
    assert frames.seen == [0, 4, 8, 12, 16, 20]
    assert scores[2] == pytest.approx((scores[0] + scores[4]) / 2)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_hardly_any_frames(length: int, trained: Path, make_images: MakeImages) -> None:
    scores = DDMNetDetector(trained).score([make_images(np.zeros(length))], np.arange(length) / 10)
    assert scores.shape == (length,)
    assert scores.dtype == np.float32


def test_other_backbone_weights_are_refused(trained: Path, resnet_folder: Path) -> None:
    description = trained / "detector.json"
    description.write_text(description.read_text().replace('"backbone": "', '"backbone": "0'))
    with pytest.raises(ArtifactError, match="other weights"):
        DDMNetDetector(trained)


def test_a_folder_without_detector_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no trained detector in .*dualvla events train"):
        DDMNetDetector(tmp_path)


@pytest.mark.parametrize(("content", "message"), [('{"format": 9}', "format 9"), ("[]", "be read"), ("{", "be read")])
def test_a_broken_description_is_named(content: str, message: str, trained: Path) -> None:
    (trained / "detector.json").write_text(content)
    with pytest.raises(ArtifactError, match=message):
        DDMNetDetector(trained)


def test_features_are_scaled_by_the_training_frames() -> None:
    scale = FeatureScale([2])
    scale.fit([torch.tensor([[1.0, 5.0], [3.0, 5.0]])])
    assert scale([torch.tensor([[3.0, 5.5]])])[0].tolist() == [[pytest.approx(1), pytest.approx(500)]]
