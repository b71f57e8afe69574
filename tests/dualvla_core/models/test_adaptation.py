from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from dualvla_core.errors import ConfigError
from dualvla_core.models import DualVLA, RobotBatch, RobotCollator
from dualvla_core.models.adaptation import merge_adapters, parameter_table
from dualvla_core.shards.dataset import RobotFrame
from tests.dualvla_core.models.conftest import CAMERAS, text_logits
from tests.dualvla_core.models.tiny_families import family_config, make_policy

MODES = {
    "frozen": {"language": "frozen", "vision": "frozen", "projector": "frozen"},
    "lora": {"language": "lora", "rank": 2, "alpha": 4.0, "dropout": 0.0, "vision": "frozen"},
    "experts": {"language": "experts", "rank": 2, "alpha": 4.0, "dropout": 0.0, "gate_hidden": 8},
    "full": {},
}


@pytest.fixture
def adapted(statistics: dict[str, Any]) -> Callable[..., DualVLA]:
    def make(mode: str, family: str = "qwen2_5_vl") -> DualVLA:
        return make_policy(family_config(family, None, **MODES[mode]), statistics)

    return make


@pytest.fixture
def batch(adapted: Callable[..., DualVLA], frame: Callable[..., RobotFrame]) -> RobotBatch:
    policy = adapted("full")
    collate = RobotCollator(policy.tokenizer, policy.config, policy.statistics, embodiment="robot", cameras=CAMERAS)
    return collate([frame(), frame(instruction="Reach.", reasoning=())], torch.Generator())


def encode(policy: DualVLA, batch: RobotBatch) -> torch.Tensor:
    return policy.encode(batch.images, batch.input_ids, batch.attention_mask)


def stir(policy: DualVLA) -> None:
    """Adapters start as nothing (B = 0); give them something to say."""
    generator = torch.Generator().manual_seed(9)
    for name, parameter in policy.backbone.named_parameters():
        if "lora_B" in name or "expert_gate" in name:
            parameter.data = torch.randn(parameter.shape, generator=generator)


def trained(policy: DualVLA, batch: RobotBatch) -> set[str]:
    hidden = encode(policy, batch)
    visual = policy.visual_features(hidden, batch.input_ids)
    (hidden.sum() + text_logits(policy, hidden[:, -1]).sum() + visual.sum()).backward()  # type: ignore[no-untyped-call]
    return {name for name, parameter in policy.backbone.named_parameters() if parameter.grad is not None}


def test_only_what_is_named_trains(adapted: Callable[..., DualVLA], batch: RobotBatch) -> None:
    assert not {
        name for name in trained(adapted("frozen"), batch) if "embed_tokens" not in name and "lm_head" not in name
    }
    lora = trained(adapted("lora"), batch)
    assert {name.split(".")[1] for name in lora if "lora_" in name} == {"language_model"}
    assert not any("visual.blocks" in name or "base_layer" in name for name in lora)
    assert any("visual.merger" in name for name in lora)
    experts = trained(adapted("experts"), batch)
    assert {"expert_0", "expert_1"} <= {part for name in experts for part in name.split(".")}
    assert any("visual.blocks" in name for name in experts)
    full = adapted("full")
    assert trained(full, batch) == {name for name, _ in full.backbone.named_parameters()}


def test_adapters_start_as_nothing(adapted: Callable[..., DualVLA], batch: RobotBatch) -> None:
    plain = encode(adapted("full"), batch)
    for mode in ("lora", "experts"):
        policy = adapted(mode)
        policy.backbone.load_state_dict(
            {
                name: value
                for name, value in policy.backbone.state_dict().items()
                if "lora_" in name or "expert_gate" in name
            }
            | renamed(adapted("full").backbone.state_dict(), policy)
        )
        torch.testing.assert_close(encode(policy, batch), plain)


def renamed(state: dict[str, torch.Tensor], policy: DualVLA) -> dict[str, torch.Tensor]:
    """Weights of an unadapted backbone under the names they have beside adapters."""
    theirs = {name.replace(".base_layer", ""): name for name in policy.backbone.state_dict()}
    return {theirs[name]: value for name, value in state.items()}


def test_a_merged_policy_computes_the_same(adapted: Callable[..., DualVLA], batch: RobotBatch, tmp_path: Path) -> None:
    policy = adapted("lora")
    stir(policy)
    before = encode(policy, batch).detach()
    policy.config = merge_adapters(policy.backbone, policy.config)
    torch.testing.assert_close(encode(policy, batch), before, atol=1e-5, rtol=1e-5)
    assert not [name for name, _ in policy.named_parameters() if "lora" in name]
    policy.save_pretrained(tmp_path)
    torch.testing.assert_close(encode(DualVLA.from_pretrained(tmp_path), batch), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("mode", ["experts", "full"])
def test_what_cannot_be_merged_says_so(adapted: Callable[..., DualVLA], mode: str) -> None:
    policy = adapted(mode)
    with pytest.raises(ConfigError, match=f"adaptation '{mode}' cannot be merged"):
        merge_adapters(policy.backbone, policy.config)


class TestExperts:
    @pytest.fixture
    def policy(self, adapted: Callable[..., DualVLA]) -> DualVLA:
        policy = adapted("experts", "internvl")
        stir(policy)
        return policy

    def test_a_layer_adds_its_experts_by_their_shares(self, policy: DualVLA, batch: RobotBatch) -> None:
        """h = W x + s * sum_i lambda_i B_i A_i x, worked out beside the layer."""
        layer = policy.backbone.model.language_model.layers[0].mlp.down_proj
        seen: list[tuple[torch.Tensor, torch.Tensor]] = []
        layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
        gates: list[torch.Tensor] = []
        policy.backbone.expert_gate.register_forward_hook(lambda _, __, output: gates.append(output))
        encode(policy, batch)
        (first_input, first_output), (x, output) = seen
        torch.testing.assert_close(first_output, layer.base_layer(first_input))  # the first pass knows no experts
        expected = layer.base_layer(x)
        for index, name in enumerate(("expert_0", "expert_1")):
            low = x @ layer.lora_A[name].weight.T @ layer.lora_B[name].weight.T
            expected = expected + 2.0 * gates[0][..., index : index + 1] * low
        torch.testing.assert_close(output, expected)
        torch.testing.assert_close(gates[0].sum(-1), torch.ones(gates[0].shape[:2]))
        assert gates[0].flatten(0, 1).std(0).min() > 1e-3  # it decides per token

    def test_the_gate_looks_at_the_model_without_experts(self, policy: DualVLA, batch: RobotBatch) -> None:
        gates: list[torch.Tensor] = []
        policy.backbone.expert_gate.register_forward_hook(lambda _, __, output: gates.append(output))
        encode(policy, batch)
        for name, parameter in policy.backbone.named_parameters():
            if "lora_B" in name:
                parameter.data.mul_(3)
        encode(policy, batch)
        assert torch.equal(gates[0], gates[1])

    def test_generation_with_a_cache_is_that_without(self, policy: DualVLA) -> None:
        images = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        texts = ["Open the drawer.", "Reach."]
        said = policy.answer(images, texts, 4)
        for index, text in enumerate(texts):
            ids = policy.prompts.opening(text, 2)
            start = len(ids)
            while len(ids) < start + 4 and ids[-1] not in policy.stops:
                tokens = torch.tensor([ids])
                with torch.no_grad():
                    hidden = policy.encode(images[index : index + 1], tokens, torch.ones_like(tokens))
                    ids.append(int(text_logits(policy, hidden[0, -1:]).argmax()))
            assert said[index] == policy.prompts.decode(ids[start:]).strip()

    def test_it_survives_being_saved(self, policy: DualVLA, batch: RobotBatch, tmp_path: Path) -> None:
        policy.save_pretrained(tmp_path)
        assert torch.equal(encode(DualVLA.from_pretrained(tmp_path), batch), encode(policy, batch))


def test_the_table_counts_every_parameter_once(adapted: Callable[..., DualVLA]) -> None:
    for mode in MODES:
        policy = adapted(mode, "internvl")  # its rows of input and output are one parameter
        table = {row.module: row for row in parameter_table(policy.backbone, policy.action_head, policy.config)}
        parameters = list(policy.parameters())
        assert sum(row.parameters for row in table.values()) == sum(each.numel() for each in parameters)
        trainable = sum(each.numel() for each in parameters if each.requires_grad)
        assert sum(row.trainable for row in table.values()) == trainable
        assert table["vocabulary"].parameters == table["vocabulary"].trainable == 16 * len(policy.tokenizer)
        assert table["language"].trainable == (table["language"].parameters if mode == "full" else 0)
        assert table["vision"].trainable == (0 if mode in {"frozen", "lora"} else table["vision"].parameters)
        # rank 2 on q, o: 2 (16 + 16), k, v: 2 (16 + 8), up, down: 2 (16 + 32), of two layers
        expected = {"lora": 832, "experts": 2 * 832 + (16 * 8 + 8) + (8 * 8 + 8) + (8 * 2 + 2)}
        assert ("adapters" in table) == (mode in expected)
        if mode in expected:
            assert table["adapters"].parameters == table["adapters"].trainable == expected[mode]


def test_a_wrong_target_is_named(statistics: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is called nowhere; correct"):
        make_policy(family_config("internvl", None, language="lora", targets=("nowhere",)), statistics)
