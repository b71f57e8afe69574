from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from dualvla_core.errors import ConfigError
from dualvla_core.models import DualVLA, RobotBatch, RobotCollator
from dualvla_core.models.families import FAMILIES
from dualvla_core.shards.dataset import RobotFrame
from tests.dualvla_core.models.conftest import CAMERAS, text_logits
from tests.dualvla_core.models.tiny_families import ARCHITECTURES, family_config, make_policy, write_pretrained

NAMES = sorted(ARCHITECTURES)
MADE: dict[str, DualVLA] = {}


@pytest.fixture(params=NAMES)
def policy(request: pytest.FixtureRequest, statistics: dict[str, Any]) -> DualVLA:
    name: str = request.param
    if name not in MADE:
        MADE[name] = make_policy(family_config(name), statistics)
    return MADE[name]


@pytest.fixture
def batch(policy: DualVLA, frame: Callable[..., RobotFrame]) -> RobotBatch:
    collate = RobotCollator(policy.tokenizer, policy.config, policy.statistics, embodiment="robot", cameras=CAMERAS)
    return collate([frame(), frame(instruction="Reach.", reasoning=())], torch.Generator())


def encode(policy: DualVLA, batch: RobotBatch) -> torch.Tensor:
    with torch.no_grad():
        return policy.encode(batch.images, batch.input_ids, batch.attention_mask)


def test_it_encodes_and_its_latents_are_causal(policy: DualVLA, batch: RobotBatch) -> None:
    hidden = encode(policy, batch)
    assert policy.latents(hidden, batch.query_mask).shape == (2, 3, 16)
    assert policy.visual_features(hidden, batch.input_ids).shape == (2, 8, 16)
    place = int(batch.input_ids[0].eq(policy.prompts.queries[1]).nonzero())
    batch.input_ids[0, place] = policy.prompts.end
    torch.testing.assert_close(encode(policy, batch)[0, :place], hidden[0, :place])


def test_each_camera_reaches_its_own_image_tokens(policy: DualVLA, batch: RobotBatch) -> None:
    before = policy.visual_features(encode(policy, batch), batch.input_ids)
    batch.images[:, 1, 0] = 1
    after = policy.visual_features(encode(policy, batch), batch.input_ids)
    torch.testing.assert_close(after[:, :4], before[:, :4])
    assert not torch.allclose(after[:, 4:], before[:, 4:])


def test_padding_changes_nothing(policy: DualVLA, batch: RobotBatch) -> None:
    length = int(batch.attention_mask[1].sum())
    alone = policy.encode(batch.images[1:], batch.input_ids[1:, :length], batch.attention_mask[1:, :length])
    torch.testing.assert_close(alone[0], encode(policy, batch)[1, :length], atol=1e-5, rtol=1e-5)


def test_generation_continues_what_one_forward_predicts(policy: DualVLA) -> None:
    """Greedy decoding with a cache gives, token by token, the argmax of a forward over the whole text."""
    images = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    texts = ["Open the drawer.", "Reach."]
    said = policy.answer(images, texts, 4)
    for index, text in enumerate(texts):
        ids = policy.prompts.opening(text, 2)
        start = len(ids)
        for _ in range(4):
            tokens = torch.tensor([ids])
            with torch.no_grad():
                hidden = policy.encode(images[index : index + 1], tokens, torch.ones_like(tokens))
                ids.append(int(text_logits(policy, hidden[0, -1:]).argmax()))
            if ids[-1] in policy.stops:
                break
        assert said[index] == policy.prompts.decode(ids[start:]).strip()


def test_a_policy_survives_being_saved(policy: DualVLA, batch: RobotBatch, tmp_path: Path) -> None:
    policy.save_pretrained(tmp_path)
    loaded = DualVLA.from_pretrained(tmp_path)
    assert loaded.config == policy.config
    torch.testing.assert_close(encode(loaded, batch), encode(policy, batch), rtol=0, atol=0)


@pytest.mark.parametrize("name", ["internvl", "qwen2_5_vl", "smolvlm"])
class TestPretrained:
    @pytest.fixture
    def policy(self, name: str, statistics: dict[str, Any], tmp_path: Path) -> DualVLA:
        write_pretrained(name, str(tmp_path / "source"), statistics)
        return make_policy(family_config(name, str(tmp_path / "source")), statistics, seed=5)

    def test_new_tokens_train_and_old_ones_do_not(self, policy: DualVLA, batch: RobotBatch) -> None:
        old = policy.backbone.get_input_embeddings().old.clone()
        trainable = [each for each in policy.parameters() if each.requires_grad]
        optimiser = torch.optim.AdamW(trainable, 0.1, weight_decay=0.5)
        new = policy.backbone.get_input_embeddings().new.clone()
        hidden = policy.encode(batch.images, batch.input_ids, batch.attention_mask)
        text_logits(policy, hidden[:, -1]).logsumexp(-1).sum().backward()
        optimiser.step()
        assert torch.equal(policy.backbone.get_input_embeddings().old, old)
        assert (policy.backbone.get_input_embeddings().new != new).all(1).sum() == 3
        assert len(new) == 3

    @pytest.mark.parametrize("language", ["frozen", "lora", "experts"])
    def test_new_tokens_train_beside_adapters_too(
        self, policy: DualVLA, name: str, language: str, statistics: dict[str, Any]
    ) -> None:
        source = policy.config.backbone.source
        table = make_policy(family_config(name, source, language=language, rank=2), statistics).backbone
        for rows in (table.get_input_embeddings(), table.get_output_embeddings().rows):
            assert (rows.new.requires_grad, rows.old.requires_grad) == (True, False)

    def test_it_keeps_the_published_weights(self, policy: DualVLA, name: str, statistics: dict[str, Any]) -> None:
        published = make_policy(family_config(name), statistics).backbone.state_dict()
        for key, weight in policy.backbone.state_dict().items():
            if "embed_tokens" not in key and "lm_head" not in key:
                assert torch.equal(weight, published[key]), key
        table = policy.backbone.get_input_embeddings()
        embedding = next(value for key, value in published.items() if "embed_tokens" in key)
        assert torch.equal(table.old, embedding[: len(table.old)])

    def test_logits_cover_old_and_new_tokens(self, policy: DualVLA, batch: RobotBatch, tmp_path: Path) -> None:
        logits = text_logits(policy, encode(policy, batch)[:, -1])
        assert logits.shape == (2, len(policy.tokenizer))
        policy.save_pretrained(tmp_path / "saved")
        again = DualVLA.from_pretrained(tmp_path / "saved")
        assert torch.equal(text_logits(again, encode(again, batch)[:, -1]), logits)


def test_a_source_that_is_not_there_is_one_sentence(statistics: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be loaded .* give a folder that holds it"):
        make_policy(family_config("internvl", str(tmp_path / "nothing")), statistics)


def test_a_wrong_number_of_image_tokens_is_refused(statistics: dict[str, Any]) -> None:
    config = family_config("internvl").model_copy(update={"image_tokens": 16})
    with pytest.raises(ConfigError, match="makes 4 tokens of an image of 32 px; set image_tokens to 4"):
        make_policy(config, statistics)


def test_patches_are_those_of_the_library(statistics: dict[str, Any]) -> None:
    """Transformers' own processor, which works on PIL images, is the reference."""
    pixels = np.random.default_rng(0).integers(0, 255, (56, 56, 3), np.uint8)
    reference = Qwen2VLImageProcessorPil(patch_size=14, merge_size=2, temporal_patch_size=2, do_resize=False)
    expected = reference(Image.fromarray(pixels), return_tensors="pt")
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (reference.image_mean, reference.image_std))
    image = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std
    vision = type("Vision", (), {"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2})
    config = type("Config", (), {"vision_config": vision})
    made = FAMILIES["qwen2_5_vl"].inputs(config, image[None, None], torch.zeros(1, 4, dtype=torch.bool))
    torch.testing.assert_close(made["pixel_values"], expected["pixel_values"].float(), atol=1e-5, rtol=1e-5)
    assert made["image_grid_thw"].tolist() == expected["image_grid_thw"].tolist()


@pytest.mark.parametrize("name", NAMES)
def test_layers_computed_twice_have_the_same_gradients(
    name: str, statistics: dict[str, Any], frame: Callable[..., RobotFrame]
) -> None:
    policy = make_policy(family_config(name), statistics).train()
    collate = RobotCollator(policy.tokenizer, policy.config, policy.statistics, embodiment="robot", cameras=CAMERAS)
    batch = collate([frame(), frame(instruction="Reach.", reasoning=())], torch.Generator())

    expected = gradients(policy, batch)
    policy.checkpoint_gradients()
    found = gradients(policy, batch)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[each], expected[each]) for each in expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_blind_policy_reads_its_black_images_once_and_learns_the_same(
    name: str, statistics: dict[str, Any], frame: Callable[..., RobotFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make_policy(family_config(name), statistics).train()
    collate = RobotCollator(policy.tokenizer, policy.config, policy.statistics, embodiment="robot", cameras=CAMERAS)
    batch = collate([frame(), frame(instruction="Reach.", reasoning=())], torch.Generator())
    batch = dataclasses.replace(batch, images=torch.zeros_like(batch.images))
    hidden, expected = encode(policy, batch), gradients(policy, batch)
    monkeypatch.setattr(policy, "config", policy.config.model_copy(update={"blind": True}))
    torch.testing.assert_close(encode(policy, batch)[batch.attention_mask == 1], hidden[batch.attention_mask == 1])
    found = gradients(policy, batch)
    assert found.keys() == expected.keys()
    for each in expected:
        torch.testing.assert_close(found[each], expected[each])


def gradients(policy: DualVLA, batch: RobotBatch) -> dict[str, torch.Tensor]:
    """Of the mean square of the hidden states that are not padding."""
    policy.zero_grad(set_to_none=True)
    hidden = policy.encode(batch.images, batch.input_ids, batch.attention_mask)
    hidden[batch.attention_mask == 1].square().mean().backward()  # type: ignore[no-untyped-call]
    return {each: weight.grad for each, weight in policy.named_parameters() if weight.grad is not None}
