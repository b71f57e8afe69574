from __future__ import annotations

from typing import Any

import pytest

from dualvla_core.models import ModelConfig
from dualvla_core.models.adaptation import PartSize, parameter_table
from dualvla_core.models.estimate import PolicySize, Robot, measure_policy, training_bytes
from flows.cli.configuration import configure
from tests.dualvla_core.models.tiny_families import family_config, make_policy


@pytest.mark.parametrize("family", ["internvl", "qwen2_5_vl", "smolvlm"])
def test_it_counts_what_a_real_policy_has(family: str, statistics: dict[str, Any]) -> None:
    config = family_config(family, None, language="experts", rank=2, vision="frozen")
    policy = make_policy(config, statistics)
    expected = {part.module: part for part in parameter_table(policy.backbone, policy.action_head, config)}
    counted = {part.module: part for part in measure_policy(config, Robot(7, 4, 2)).parts}
    rows = counted.pop("vocabulary").parameters, expected.pop("vocabulary").parameters
    assert counted == expected
    assert rows[0] / 340 == rows[1] / len(policy.tokenizer)  # 340 is what the vocabulary may grow to


@pytest.mark.parametrize(
    ("preset", "published", "tables", "width"),
    [
        # vision, projector, language and vocabulary; published are 3.75 B, 2.09 B, and 134.5 M (with 3.0 M of vision)
        ("qwen2.5-vl-3b", 3_754_622_976, 1, 2048),
        ("instructvla-like", 2_088_883_712, 2, 1536),
        ("small", 134_515_008 + 2_958_848, 1, 576),
    ],
)
def test_the_large_presets_have_the_published_sizes(preset: str, published: int, tables: int, width: int) -> None:
    config = configure(preset, []).config.learning.model
    parts = {part.module: part for part in measure_policy(config, Robot(8, 7, 1)).parts}
    new_rows = tables * config.action_queries * width
    own = {"action head", "adapters"} | ({"projector"} if preset == "small" else set())
    total = sum(part.parameters for part in parts.values() if part.module not in own)
    assert total - new_rows == published
    assert parts["vocabulary"].trainable == new_rows


def test_two_experts_of_rank_128_are_the_published_count() -> None:
    """r (in + out) of q, k, v, o, up and down in 28 layers, twice, and the gate."""
    config = configure("instructvla-like", []).config.learning.model
    adapters = {part.module: part for part in measure_policy(config, Robot(8, 7, 1)).parts}["adapters"]
    layer = 128 * ((1536 + 1536) * 2 + (1536 + 256) * 2 + (1536 + 8960) * 2)
    gate = 1536 * 128 + 128 + 128 * 128 + 128 + 128 * 2 + 2
    assert adapters.parameters == adapters.trainable == 2 * 28 * layer + gate


def test_the_tiny_policy_is_counted_with_its_whole_vocabulary() -> None:
    size = measure_policy(ModelConfig(), Robot(8, 7, 1))
    assert {part.module: part.parameters for part in size.parts}["vocabulary"] == 2 * 640 * 144
    assert size.trainable == size.parameters
    assert size.shapes["image tokens"] == "[B, 16, 144]"


@pytest.mark.parametrize(("stage", "expected"), [(0, 20 + 2 + 12), (1, 20 + 2 + 3), (2, 20 + 14 / 4), (3, 34 / 4)])
def test_zero_shares_more_with_every_stage(stage: int, expected: float) -> None:
    """10 weights of 2 bytes, one of which trains, on four processes."""
    size = PolicySize([PartSize("a", 9, 0), PartSize("b", 1, 1)], {})
    assert training_bytes(size, stage, 4, "bf16") == expected
    assert training_bytes(size, stage, 1, "bf16") == 34
