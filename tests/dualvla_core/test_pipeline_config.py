"""Configuration: layers, origins, and one clear sentence for what does not fit."""

from __future__ import annotations

import pytest

from dualvla_core.errors import ConfigError
from dualvla_core.pipeline_config import Layer, parse_override, resolve_config


def test_later_layers_win_and_origins_are_kept() -> None:
    preset = Layer("preset x", {"pruning": {"rule": "none", "seed": 3}})
    resolved = resolve_config([preset, parse_override("pruning.rule=action_only")])
    assert resolved.config.pruning.rule == "action_only"
    assert resolved.config.pruning.seed == 3
    assert resolved.origins["pruning.rule"] == "--set pruning.rule=action_only"
    assert resolved.origins["pruning.seed"] == "preset x"


def test_override_values_are_yaml() -> None:
    config = resolve_config([parse_override("decode.cameras=[a, b]"), parse_override("decode.image_size=null")]).config
    assert config.decode.cameras == ("a", "b")
    assert config.decode.image_size is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("decode.jpeg_quality=500", r"decode\.jpeg_quality = 500"),
        ("decode.jpeg_qualty=90", r"decode\.jpeg_qualty"),
        ("nonsense", "expected NAME=VALUE"),
    ],
)
def test_what_does_not_fit_is_named(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        resolve_config([parse_override(text)])
