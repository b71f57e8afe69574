from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dualvla_core.errors import ArtifactError, ConfigError  # noqa: E402
from dualvla_core.events.arm import with_speed  # noqa: E402
from dualvla_core.events.config import MotionNetConfig, TemporalNetConfig  # noqa: E402
from dualvla_core.events.detector_folder import save_detector  # noqa: E402
from dualvla_core.events.motion_net import (  # noqa: E402
    MotionNetDescription,
    MotionNetDetector,
    boundary_scores,
    untrained,
)

MakeImages = Callable[[np.ndarray], list[np.ndarray]]
NETWORK = TemporalNetConfig(width=8, dilations=(1, 2))
SMALL = MotionNetConfig(odometry=NETWORK, boundaries=NETWORK, members=2)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A detector with drawn weights, saved."""
    torch.manual_seed(3)
    description = MotionNetDescription(motion_net=SMALL, cameras=("front", "wrist"), coordinates=4, fps=10.0)
    save_detector(tmp_path, description, {"network": untrained(SMALL, 2, 4)})
    return tmp_path


def test_a_saved_detector_scores_what_every_camera_saw(trained: Path, make_images: MakeImages) -> None:
    detector = MotionNetDetector(trained)
    moving, still = make_images(np.r_[np.zeros(9), np.linspace(0, 1, 8)]), make_images(np.zeros(17))
    scores = detector.score([moving, still], np.arange(17) / 10)
    assert (scores.shape, scores.dtype) == ((17,), np.float32)
    assert len(set(scores.tolist())) > 6
    assert not np.allclose(scores, detector.score([still, moving], np.arange(17) / 10), atol=1e-4)
    short = detector.score([moving[:9], still[:9]], np.arange(9) / 10)
    assert short[0] == pytest.approx(scores[0], abs=1e-6)  # nothing moves as far as the networks see from there


def test_scores_are_of_the_velocity_it_reads_and_of_the_flow() -> None:
    torch.manual_seed(1)
    network = untrained(SMALL, 1, 4).eval()
    flow = np.random.default_rng(0).normal(size=(9, 32)).astype(np.float32)
    velocity = network.velocity(flow)
    assert velocity.shape == (9, 4)
    parts = boundary_scores(network.in_velocity, with_speed(velocity)), boundary_scores(network.in_flow, flow)
    np.testing.assert_allclose(network.score(flow), 0.75 * parts[0] + 0.25 * parts[1], atol=1e-6)


@pytest.mark.parametrize("length", [0, 1, 2])
def test_hardly_any_frames(length: int, trained: Path, make_images: MakeImages) -> None:
    scores = MotionNetDetector(trained).score([make_images(np.zeros(length))] * 2, np.arange(length) / 10)
    assert (scores.shape, scores.dtype) == ((length,), np.float32)


def test_another_frame_rate_is_refused(trained: Path, make_images: MakeImages) -> None:
    with pytest.raises(ConfigError, match="trained at 10 frames per second and this video has 20"):
        MotionNetDetector(trained).score([make_images(np.zeros(4))] * 2, np.arange(4) / 20)


def test_the_folder_of_another_kind_of_detector_is_refused(trained: Path) -> None:
    description = trained / "detector.json"
    description.write_text(description.read_text().replace("motion_net", "ddm_net"))
    with pytest.raises(ArtifactError, match="cannot be read as that of the configured detector"):
        MotionNetDetector(trained)
