from __future__ import annotations

import pytest
from pydantic import ValidationError

from dualvla_core.models.config import BackboneConfig, FlowHeadConfig, ModelConfig, TinyBackboneConfig


def test_image_tokens_must_be_what_the_tiny_tower_makes() -> None:
    assert ModelConfig(image_size=96, image_tokens=36).image_tokens == 36
    with pytest.raises(ValidationError, match="image_tokens = 16 at image_size = 96"):
        ModelConfig(image_size=96)
    with pytest.raises(ValidationError, match="multiple of 16"):
        ModelConfig(image_size=72, image_tokens=16)


def test_a_loaded_backbone_has_image_tokens_of_its_own() -> None:
    loaded = BackboneConfig(family="internvl", source="some/model")
    assert ModelConfig(backbone=loaded, image_size=448, image_tokens=256).image_tokens == 256


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValidationError, match="no multiple of 2"):
        TinyBackboneConfig(hidden=100, heads=3)
    with pytest.raises(ValidationError, match="no multiple of heads"):
        FlowHeadConfig(hidden=100, heads=3)
