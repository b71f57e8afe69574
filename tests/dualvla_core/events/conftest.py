"""Small backbones and detectors, so that nothing here takes long."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualvla_core.events.config import BackboneConfig, DDMNetConfig, DDMNetworkConfig, Span

SMALL_NETWORK = DDMNetworkConfig(
    radius=2, width=16, map_channels=(4, 8), queries=2, layers=1, heads=2, feed_forward=16, dropout=0.0
)


@pytest.fixture(scope="session")
def resnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small transformers ResNet with random weights, saved as a folder."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1], layer_type="basic"
    )
    folder = tmp_path_factory.mktemp("resnet")
    transformers.ResNetModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def small_backbone(resnet_folder: Path) -> BackboneConfig:
    return BackboneConfig(network=str(resnet_folder), image_size=32, grid=1)


@pytest.fixture(scope="session")
def small_ddm_net(small_backbone: BackboneConfig) -> DDMNetConfig:
    span = Span(seconds=0.1, fraction=1)
    return DDMNetConfig(backbone=small_backbone, network=SMALL_NETWORK, step=span, stride=span)
