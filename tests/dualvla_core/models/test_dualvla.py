from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast

from dualvla_core.distillation.text_loss import project
from dualvla_core.errors import ArtifactError
from dualvla_core.models import (
    DualVLA,
    ModelConfig,
    MultimodalBatch,
    MultimodalCollator,
    ObservationError,
    RobotBatch,
    RobotCollator,
)
from dualvla_core.models.config import DiscreteHeadConfig
from dualvla_core.shards.dataset import RobotFrame
from tests.dualvla_core.models.conftest import CAMERAS

ANSWERS = {"What colour is the door?": "Grey.", "Open?": "Pull the handle."}


@pytest.fixture
def batch(policy: DualVLA, frame: Callable[..., RobotFrame]) -> RobotBatch:
    collate = RobotCollator(policy.tokenizer, policy.config, policy.statistics, embodiment="robot", cameras=CAMERAS)
    frames = [frame(), frame(instruction="Reach.", reasoning=())]
    return collate(frames, torch.Generator())


def encode(policy: DualVLA, batch: RobotBatch) -> torch.Tensor:
    return policy.encode(batch.images, batch.input_ids, batch.attention_mask)


def test_shapes(policy: DualVLA, batch: RobotBatch) -> None:
    hidden = encode(policy, batch)
    latents = policy.latents(hidden, batch.query_mask)
    visual = policy.visual_features(hidden, batch.input_ids)
    assert hidden.shape == (2, batch.input_ids.shape[1], 16)
    assert latents.shape == (2, 3, 16)
    assert visual.shape == (2, 8, 16)
    assert project(hidden[:, 3], policy.text_rows).shape == (2, len(policy.tokenizer))
    noisy = torch.randn(6, 5, 4)
    assert policy.velocity(latents, visual, batch.state, noisy, torch.rand(6)).shape == noisy.shape


def test_latents_are_the_hidden_states_at_the_queries(policy: DualVLA, batch: RobotBatch) -> None:
    hidden = encode(policy, batch)
    place = int(batch.input_ids[1].eq(policy.prompts.queries[0]).nonzero())
    assert torch.equal(policy.latents(hidden, batch.query_mask)[1], hidden[1, place : place + 3])


def test_the_backbone_is_causal(policy: DualVLA, batch: RobotBatch) -> None:
    before = encode(policy, batch)
    place = int(batch.input_ids[0].eq(policy.prompts.queries[0]).nonzero())
    batch.input_ids[0, place] = policy.prompts.end
    after = encode(policy, batch)
    torch.testing.assert_close(after[0, :place], before[0, :place])
    assert not torch.allclose(after[0, place + 1], before[0, place + 1], atol=1e-5)


def test_padding_changes_nothing(policy: DualVLA, batch: RobotBatch) -> None:
    length = int(batch.attention_mask[1].sum())
    alone = policy.encode(batch.images[1:], batch.input_ids[1:, :length], batch.attention_mask[1:, :length])
    torch.testing.assert_close(alone[0], encode(policy, batch)[1, :length], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("camera", [0, 1])
def test_every_camera_reaches_the_latents_and_only_its_own_image_tokens(
    policy: DualVLA, batch: RobotBatch, camera: int
) -> None:
    before = encode(policy, batch)
    batch.images[:, camera, :, :16] = 1
    after = encode(policy, batch)
    assert not torch.allclose(policy.latents(after, batch.query_mask), policy.latents(before, batch.query_mask))
    changed = (policy.visual_features(after, batch.input_ids) != policy.visual_features(before, batch.input_ids)).any(2)
    assert changed[0].tolist() == ([True] * 8 if camera == 0 else [False] * 4 + [True] * 4)


def test_a_blind_policy_sees_black_images_and_encodes_them_once(
    policy: DualVLA, batch: RobotBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = policy.backbone.model.vision_tower.layers
    encoded: list[int] = []
    tower.register_forward_hook(lambda _module, inputs, _output: encoded.append(len(inputs[0])))
    black = policy.encode(torch.zeros_like(batch.images), batch.input_ids, batch.attention_mask)
    monkeypatch.setattr(policy, "config", policy.config.model_copy(update={"blind": True}))
    text = batch.attention_mask == 1
    torch.testing.assert_close(encode(policy, batch)[text], black[text])
    assert encoded == [2 * len(CAMERAS), len(CAMERAS)]


def test_gradients_reach_every_parameter(policy: DualVLA, batch: RobotBatch) -> None:
    hidden = encode(policy, batch)
    visual = policy.visual_features(hidden, batch.input_ids)
    latents = policy.latents(hidden, batch.query_mask)
    velocity = policy.velocity(latents, visual, batch.state, torch.randn(2, 5, 4), torch.rand(2))
    (velocity.sum() + project(hidden[:, -1], policy.text_rows).logsumexp(-1).sum()).backward()  # type: ignore[no-untyped-call]
    silent = [name for name, parameter in policy.named_parameters() if parameter.grad is None]
    assert not silent


def fit(policy: DualVLA, batch: RobotBatch | MultimodalBatch) -> list[float]:
    """40 steps on the language loss, which it returns."""
    keep = batch.labels[:, 1:] != -100
    optimiser = torch.optim.AdamW(policy.parameters(), 1e-2)
    losses = []
    for _ in range(40):
        hidden = policy.encode(batch.images, batch.input_ids, batch.attention_mask)
        logits = project(hidden[:, :-1][keep], policy.text_rows)
        loss = torch.nn.functional.cross_entropy(logits, batch.labels[:, 1:][keep])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return losses


def test_a_few_steps_teach_when_to_speak_and_what(policy: DualVLA, batch: RobotBatch) -> None:
    losses = fit(policy, batch)
    assert losses[0] > 4
    assert losses[-1] < 0.2
    assert policy.reason(batch.images, ["Open the drawer.", "Reach."]) == ["subtask: Pull the handle.", ""]


def test_a_few_steps_teach_an_answer(policy: DualVLA) -> None:
    image = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    rows = [{"image": image, "question": question, "answer": answer} for question, answer in ANSWERS.items()]
    batch = MultimodalCollator(policy.tokenizer, policy.config)(rows, torch.Generator())
    fit(policy, batch)
    assert policy.answer(batch.images, list(ANSWERS)) == list(ANSWERS.values())
    (first,) = policy.answer(batch.images[:1], ["Open?"], max_tokens=1)
    assert policy.tokenizer.tokenize(ANSWERS["Open?"])[0] == first


def test_equal_seeds_give_equal_weights(
    config: ModelConfig, tokenizer: PreTrainedTokenizerFast, statistics: dict[str, Any], policy: DualVLA
) -> None:
    torch.manual_seed(0)
    again = DualVLA(config, tokenizer, statistics, embodiment="robot", cameras=CAMERAS, policy_type="specialist")
    for name, weight in again.state_dict().items():
        assert torch.equal(weight, policy.state_dict()[name]), name


class TestAct:
    images = torch.rand(2, 2, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    state = torch.full((2, 7), 0.4)

    def act(self, policy: DualVLA, seed: int = 0, **options: Any) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        given: dict[str, Any] = {
            "images": self.images,
            "instruction": ["Open the drawer.", "Reach."],
            "state": self.state,
        }
        return policy.act(**given | {"reason": False} | options, generator=generator).actions

    def test_actions_are_raw_and_within_what_was_demonstrated(self, policy: DualVLA) -> None:
        actions = self.act(policy)
        assert actions.shape == (2, 5, 4)
        assert actions.abs().max() <= 2
        torch.nn.init.constant_(
            policy.action_head.get_parameter("out.1.bias"), 100
        )  # every action is pushed to the upper end
        assert self.act(policy).eq(2).all()

    def test_noise_is_the_generators(self, policy: DualVLA) -> None:
        assert torch.equal(self.act(policy), self.act(policy))
        assert not torch.equal(self.act(policy), self.act(policy, seed=1))

    def test_samples_do_not_depend_on_their_neighbours(self, policy: DualVLA) -> None:
        alone = self.act(policy, images=self.images[:1], instruction=["Open the drawer."], state=self.state[:1])
        torch.testing.assert_close(alone[0], self.act(policy)[0], atol=1e-5, rtol=1e-5)

    def test_what_is_said_conditions_what_is_done(self, policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> None:
        silent = self.act(policy)
        monkeypatch.setattr(policy, "reason", lambda images, instruction: ["subtask: Pull.", ""])
        spoken = self.act(policy, reason=True)
        assert not torch.equal(spoken[0], silent[0])
        torch.testing.assert_close(spoken[1], silent[1], atol=1e-5, rtol=1e-5)

    def test_a_policy_without_state(
        self, config: ModelConfig, tokenizer: PreTrainedTokenizerFast, statistics: dict[str, Any]
    ) -> None:
        blind = config.model_copy(update={"use_state": False})
        policy = DualVLA(blind, tokenizer, statistics, embodiment="robot", cameras=CAMERAS, policy_type="specialist")
        assert torch.equal(self.act(policy, state=None), self.act(policy, state=self.state))

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"state": None}, "No robot state was given"),
            ({"images": torch.rand(2, 1, 3, 32, 32)}, r"given: 1; the policy .* \['front', 'wrist'\]"),
        ],
    )
    def test_an_incomplete_observation_is_refused(self, policy: DualVLA, given: dict[str, Any], message: str) -> None:
        with pytest.raises(ObservationError, match=message):
            self.act(policy, **given)

    def test_a_policy_in_half_precision_acts_alike(self, policy: DualVLA) -> None:
        full = self.act(policy)
        half = self.act(policy.bfloat16())
        assert half.dtype == torch.float32
        torch.testing.assert_close(half, full, atol=0.15, rtol=0)


class TestCheckpoint:
    def test_round_trip(self, policy: DualVLA, batch: RobotBatch, tmp_path: Path) -> None:
        policy.save_pretrained(tmp_path / "new" / "folder")
        loaded = DualVLA.from_pretrained(tmp_path / "new" / "folder")
        assert torch.equal(encode(loaded, batch), encode(policy, batch))
        assert not loaded.training
        for name in ("config", "statistics", "embodiment", "cameras", "policy_type"):
            assert getattr(loaded, name) == getattr(policy, name)
        assert loaded.tokenizer.get_vocab() == policy.tokenizer.get_vocab()

    @pytest.mark.parametrize("name", ["statistics.json", "config.json", "model.safetensors"])
    def test_a_missing_file_is_refused(self, policy: DualVLA, tmp_path: Path, name: str) -> None:
        policy.save_pretrained(tmp_path)
        (tmp_path / name).unlink()
        with pytest.raises(ArtifactError, match=f"has no {name}"):
            DualVLA.from_pretrained(tmp_path)

    def test_statistics_of_another_robot_are_refused(self, policy: DualVLA, tmp_path: Path) -> None:
        policy.save_pretrained(tmp_path)
        (tmp_path / "statistics.json").write_text(json.dumps({"other": policy.statistics["robot"]}))
        with pytest.raises(ArtifactError, match="not 'robot'"):
            DualVLA.from_pretrained(tmp_path)

    def test_the_format_before_is_read(self, policy: DualVLA, batch: RobotBatch, tmp_path: Path) -> None:
        policy.save_pretrained(tmp_path)
        description = json.loads((tmp_path / "config.json").read_text())
        model = description["model"]
        older = {**model, "backbone": "tiny", "tiny_backbone": model["backbone"]["tiny"]}
        del older["adaptation"], older["discrete"]
        weights = {
            name.replace("action_head.", "flow.").replace("inputs.", ""): weight
            for name, weight in policy.state_dict().items()
        }
        save_file(weights, tmp_path / "model.safetensors")
        (tmp_path / "config.json").write_text(json.dumps(description | {"format": 1, "model": older}))
        loaded = DualVLA.from_pretrained(tmp_path)
        assert loaded.config == policy.config
        for name, weight in policy.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], weight), name

    @pytest.mark.parametrize(("key", "value", "message"), [("format", 9, "format 9"), ("model", {"x": 1}, "not fit")])
    def test_another_format_is_refused(
        self, policy: DualVLA, tmp_path: Path, key: str, value: object, message: str
    ) -> None:
        policy.save_pretrained(tmp_path)
        description = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps(description | {key: value}))
        with pytest.raises(ArtifactError, match=message):
            DualVLA.from_pretrained(tmp_path)


class TestDiscrete:
    @pytest.fixture
    def policy(self, config: ModelConfig, tokenizer: PreTrainedTokenizerFast, statistics: dict[str, Any]) -> DualVLA:
        head = DiscreteHeadConfig(hidden=16, layers=1, heads=2, film=True)
        binned = config.model_copy(update={"action_head": "discrete", "discrete": head})
        numbers = statistics["robot"]["action"] | {"min": [-2, -2, -2, -1], "max": [2, 2, 2, 1]}
        inside = {"robot": statistics["robot"] | {"action": numbers}}
        return DualVLA(binned, tokenizer, inside, embodiment="robot", cameras=CAMERAS, policy_type="specialist").eval()

    def test_it_has_logits_acts_and_is_saved(self, policy: DualVLA, batch: RobotBatch, tmp_path: Path) -> None:
        hidden = encode(policy, batch)
        latents, visual = policy.latents(hidden, batch.query_mask), policy.visual_features(hidden, batch.input_ids)
        assert policy.action_logits(latents, visual, batch.state).shape == (2, 5, 4, 256)
        policy.save_pretrained(tmp_path)
        loaded = DualVLA.from_pretrained(tmp_path)
        acted = [
            each.act(batch.images, ["Open.", "Go."], torch.full((2, 7), 0.4), reason=False, generator=torch.Generator())
            for each in (policy, loaded)
        ]
        assert acted[0].actions.shape == (2, 5, 4)
        assert torch.equal(acted[0].actions, acted[1].actions)
