from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from dualvla_core.errors import ArtifactError
from dualvla_core.models import AugmentationConfig, ModelConfig, MultimodalCollator, RobotCollator
from dualvla_core.models.batches import Share, augment_images, image_tensor
from dualvla_core.models.prompts import IGNORED
from dualvla_core.shards.dataset import RobotFrame
from tests.dualvla_core.models.conftest import CAMERAS

Frames = Callable[..., RobotFrame]


@pytest.fixture
def collator(
    tokenizer: PreTrainedTokenizerFast, config: ModelConfig, statistics: dict[str, Any]
) -> Callable[..., RobotCollator]:
    def make(model: ModelConfig = config, **options: Any) -> RobotCollator:
        return RobotCollator(tokenizer, model, statistics, embodiment="robot", cameras=CAMERAS, **options)

    return make


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_images_are_resized_scaled_and_channels_first() -> None:
    half = np.zeros((8, 8, 3), np.uint8)
    half[:, 4:, 0] = 255
    tensor = image_tensor([half, np.full((2, 2, 3), 51, np.uint8)], 4)
    assert tensor.shape == (2, 3, 4, 4)
    assert tensor[0, 0, 0].tolist() == [0, 0, 1, 1]
    assert tensor[0, 1:].max() == 0
    torch.testing.assert_close(tensor[1], torch.full((3, 4, 4), 0.2))


def test_a_robot_batch(collator: Callable[..., RobotCollator], frame: Frames) -> None:
    batch = collator()([frame(), frame(reasoning=(), instruction="Reach.")], generator())
    assert batch.images.shape == (2, 2, 3, 32, 32)
    torch.testing.assert_close(batch.images[0, :, 0, 0, 0], torch.tensor([0.2, 0.4]))  # cameras in their order
    assert batch.state is not None
    assert batch.state[0].tolist() == [0.0] * 6 + [0.5]  # 0.5 of 0..1, the gripper as it is
    assert batch.actions[0, 0].tolist() == [0.5, 0.5, 0.5, 1.0]  # 1 of -2..2
    assert batch.is_padding[0].tolist() == [False, False, False, True, True]
    assert batch.query_mask.sum(1).tolist() == [3, 3]
    lengths = batch.attention_mask.sum(1)
    assert lengths[0] == batch.input_ids.shape[1] > lengths[1]
    assert batch.input_ids[1, lengths[1] :].eq(0).all()  # padding on the right
    assert batch.labels[1, lengths[1] :].eq(IGNORED).all()


def test_the_plain_turn_lacks_only_the_reasoning(collator: Callable[..., RobotCollator], frame: Frames) -> None:
    spoken = collator()([frame()], generator())
    silent = collator(reasoning="none")([frame()], generator())
    assert spoken.input_ids.shape[1] > spoken.plain.input_ids.shape[1]
    for name in ("input_ids", "attention_mask", "labels", "query_mask"):
        assert torch.equal(getattr(spoken.plain, name), getattr(silent, name))
        assert torch.equal(getattr(silent.plain, name), getattr(silent, name))


def test_reasoning_that_was_not_kept_is_read_but_not_learnt(
    collator: Callable[..., RobotCollator], frame: Frames
) -> None:
    learnt, context = collator()([frame(), frame(keep=False)], generator()).labels
    assert (learnt != IGNORED).sum() > (context != IGNORED).sum() == 3 + 1  # queries and the end
    both = collator()([frame(), frame(keep=False)], generator()).input_ids
    assert torch.equal(both[0], both[1])


def test_a_batch_moves_as_a_whole(collator: Callable[..., RobotCollator], frame: Frames, config: ModelConfig) -> None:
    blind = config.model_copy(update={"use_state": False})
    moved = collator(blind, augmentation=AugmentationConfig())([frame(state=None)], generator()).to("meta")
    assert moved.state is None
    assert {moved.images.device.type, moved.labels.device.type, moved.plain.labels.device.type} == {"meta"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": {"front": np.zeros((4, 4, 3), np.uint8)}}, "lacks the camera 'wrist'"),
        ({"actions": None}, "no action"),
        ({"state": None}, "no state"),
    ],
)
def test_incomplete_frames_are_refused(
    collator: Callable[..., RobotCollator], frame: Frames, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        collator()([frame(**changes)], generator())


def test_augmentation_is_the_generators(collator: Callable[..., RobotCollator], frame: Frames) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    frames = [frame(images=dict.fromkeys(CAMERAS, noisy))] * 4
    collate = collator(augmentation=AugmentationConfig())
    first, again, other = (collate(frames, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)
    assert first.state is not None
    assert other.state is not None
    assert not torch.equal(first.state, other.state)
    assert torch.equal(first.actions, other.actions)


def test_a_share_of_the_batch_is_varied_as_the_whole_is(collator: Callable[..., RobotCollator], frame: Frames) -> None:
    noisy = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    frames = [frame(images=dict.fromkeys(CAMERAS, noisy))] * 6
    collate = collator(augmentation=AugmentationConfig())
    whole = collate(frames, generator(3))
    for first in range(3):
        part = collate(frames[first::3], generator(3), Share(first, 3))
        assert torch.equal(part.images, whole.images[first::3])
        assert part.state is not None
        assert whole.state is not None
        assert torch.equal(part.state, whole.state[first::3])


def test_shifts_repeat_edges_and_stay_within_bounds() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 3, 8, 8) / 16
    config = AugmentationConfig(shift=2, brightness=0)
    seen = set()
    for seed in range(40):
        row = (augment_images(ramp, config, generator(seed))[0, 0, 0, 0] * 16).tolist()
        seen.add(row[3] - 3)
        assert row == [min(max(index + row[3] - 3, 0), 7) for index in range(8)]
    assert seen == {-2, -1, 0, 1, 2}


def test_brightness_is_one_factor_for_a_sample() -> None:
    images = torch.full((50, 2, 3, 4, 4), 0.5)
    bright = augment_images(images, AugmentationConfig(shift=0, brightness=0.1), generator())
    factors = bright[:, 0, 0, 0, 0] / 0.5
    torch.testing.assert_close(bright, images * factors.view(-1, 1, 1, 1, 1))
    assert 0.9 <= factors.min() < 0.92
    assert 1.08 < factors.max() <= 1.1


def test_without_augmentation_the_generator_is_untouched(collator: Callable[..., RobotCollator], frame: Frames) -> None:
    drawn = generator()
    collator()([frame()], drawn)
    assert torch.equal(drawn.get_state(), generator().get_state())


def test_a_multimodal_batch(tokenizer: PreTrainedTokenizerFast, config: ModelConfig) -> None:
    image = cv2.imencode(".jpg", np.full((16, 16, 3), 102, np.uint8))[1].tobytes()
    rows = [{"image": image, "question": "What colour?", "answer": answer} for answer in ("Grey.", "It is grey.")]
    batch = MultimodalCollator(tokenizer, config)(rows, generator())
    torch.testing.assert_close(batch.images, torch.full((2, 1, 3, 32, 32), 0.4))
    answers = [tokenizer.decode(labels[labels != IGNORED]) for labels in batch.labels]
    assert answers == ["Grey.<eos>", "It is grey.<eos>"]
    varied = MultimodalCollator(tokenizer, config, AugmentationConfig())(rows, generator())
    assert not torch.equal(varied.images, batch.images)


def test_a_broken_question_image_is_refused(tokenizer: PreTrainedTokenizerFast, config: ModelConfig) -> None:
    with pytest.raises(ArtifactError, match="cannot be decoded"):
        MultimodalCollator(tokenizer, config)([{"image": b"no", "question": "?", "answer": "."}], generator())
