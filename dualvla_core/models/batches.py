"""From shard frames and multimodal samples to the tensors a training step takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad
from transformers import PreTrainedTokenizerBase

from dualvla_core.episodes.reasoning import render_reasoning
from dualvla_core.errors import ArtifactError
from dualvla_core.models.config import AugmentationConfig, ModelConfig
from dualvla_core.models.normalisation import Normaliser, statistics_of
from dualvla_core.models.prompts import IGNORED, Prompts, Sample
from dualvla_core.shards.dataset import RobotFrame


class _Tensors:
    """What all batches can do."""

    def to(self, device: torch.device | str) -> Self:
        """The same batch on ``device``."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}  # type: ignore[arg-type]
        return type(self)(**{name: None if value is None else value.to(device) for name, value in values.items()})


@dataclass(frozen=True)
class TextBatch(_Tensors):
    """Samples padded on the right to one length ``L``."""

    input_ids: Tensor
    """``[B, L]`` int64."""
    attention_mask: Tensor
    """``[B, L]`` int64, 0 at padding."""
    labels: Tensor
    """``[B, L]`` int64, not shifted; -100 where not supervised."""
    query_mask: Tensor
    """``[B, L]`` bool, True at the K action queries."""


@dataclass(frozen=True)
class RobotBatch(_Tensors):
    """Robot frames: observation, turn, and the actions that followed."""

    images: Tensor
    """``[B, C, 3, H, W]`` float32 RGB in [0, 1]."""
    input_ids: Tensor
    """As in `TextBatch`, with reasoning where it was kept."""
    attention_mask: Tensor
    labels: Tensor
    query_mask: Tensor
    state: Tensor | None
    """``[B, S]`` float32, normalised; None where the policy takes no state."""
    actions: Tensor
    """``[B, T, A]`` float32, normalised."""
    is_padding: Tensor
    """``[B, T]`` bool, True past the end of the episode."""
    plain: TextBatch
    """The same turns without reasoning: what the action teacher is conditioned on (DualVLA Eq. 5)."""


@dataclass(frozen=True)
class MultimodalBatch(_Tensors):
    """Visual questions with answers."""

    images: Tensor
    """``[B, 1, 3, H, W]`` float32 RGB in [0, 1]."""
    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Share:
    """A process's part of a global batch: every ``of``-th sample from ``first`` on.

    What is drawn for samples is drawn for all of the global batch, so that it does not depend on their number.
    """

    first: int = 0
    of: int = 1

    def own(self, drawn: Tensor) -> Tensor:
        """This part of what was drawn for the global batch ``[B * of, ...]``."""
        return drawn[self.first :: self.of]


WHOLE = Share()
"""The part of a single process."""


def image_tensor(images: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """RGB images ``[H, W, 3]`` of any size to ``[C, 3, size, size]`` float32 in [0, 1]."""
    resized = [
        image
        if image.shape[:2] == (size, size)
        else cv2.resize(
            image, (size, size), interpolation=cv2.INTER_AREA if image.shape[0] > size else cv2.INTER_LINEAR
        )
        for image in images
    ]
    return torch.from_numpy(np.stack(resized)).permute(0, 3, 1, 2).float() / 255


def augment_images(
    images: Tensor, config: AugmentationConfig, generator: torch.Generator, share: Share = WHOLE
) -> Tensor:
    """``[B, C, 3, H, W]``, each image shifted (edges repeated) and each sample brightened or darkened at random."""
    batch, cameras, _, height, width = images.shape
    every = batch * share.of
    if config.shift:
        drawn = torch.randint(0, 2 * config.shift + 1, (every, cameras, 2), generator=generator)
        offsets = share.own(drawn).flatten(0, 1).tolist()
        padded = pad(images.flatten(0, 1), (config.shift,) * 4, mode="replicate")
        shifted = [image[:, y : y + height, x : x + width] for image, (y, x) in zip(padded, offsets, strict=True)]
        images = torch.stack(shifted).view_as(images)
    factor = 1 + config.brightness * (2 * share.own(torch.rand(every, 1, 1, 1, 1, generator=generator)) - 1)
    return (images * factor).clamp(0, 1)


def text_batch(samples: Sequence[Sample], padding: int) -> TextBatch:
    """Pad samples on the right with the token ``padding``."""
    length = max(len(sample.input_ids) for sample in samples)

    def padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
        return torch.tensor([[*row, *[value] * (length - len(row))] for row in rows], dtype=torch.int64)

    return TextBatch(
        input_ids=padded([sample.input_ids for sample in samples], padding),
        attention_mask=padded([[1] * len(sample.input_ids) for sample in samples], 0),
        labels=padded([sample.labels for sample in samples], IGNORED),
        query_mask=padded([sample.query_mask for sample in samples], 0).bool(),
    )


class RobotCollator:
    """Makes a `RobotBatch` of shard frames of one embodiment.

    Args:
        tokenizer: what `Prompts` needs.
        config: image size, prompts, whether there is a state.
        statistics: a ``statistics.json``.
        embodiment: whose entry of it normalises.
        cameras: which images, in which order.
        reasoning: "kept" puts a frame's reasoning before the action queries; "none" leaves it out everywhere.
        augmentation: None = samples as they are.

    Raises `ArtifactError` for statistics without the embodiment, or frames without actions, state or a camera.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: ModelConfig,
        statistics: Mapping[str, Any],
        *,
        embodiment: str,
        cameras: Sequence[str],
        reasoning: Literal["kept", "none"] = "kept",
        augmentation: AugmentationConfig | None = None,
    ) -> None:
        entry = statistics_of(statistics, embodiment)
        self._prompts = Prompts(tokenizer, config)
        self._padding = int(tokenizer.pad_token_id)
        self._config = config
        self._action = Normaliser(entry, "action")
        self._state = Normaliser(entry, "state") if config.use_state else None
        self._cameras = tuple(cameras)
        self._reasoning = reasoning
        self._augmentation = augmentation

    def __call__(self, frames: Sequence[RobotFrame], generator: torch.Generator, share: Share = WHOLE) -> RobotBatch:
        """``generator`` draws the augmentation of the global batch, ``frames`` are this ``share`` of it."""
        images = torch.stack([image_tensor(self._images(frame), self._config.image_size) for frame in frames])
        actions = self._action.normalise(_stacked([frame.actions for frame in frames], "action"))
        state = None if self._state is None else self._state.normalise(_stacked([f.state for f in frames], "state"))
        if self._augmentation is not None:
            images = augment_images(images, self._augmentation, generator, share)
            if state is not None:
                noise = torch.randn(len(state) * share.of, state.shape[1], generator=generator)
                state = state + self._augmentation.state_noise * share.own(noise)
        plain = self._text(frames, reasoning=False)
        text = self._text(frames, reasoning=True) if self._reasoning == "kept" else plain
        return RobotBatch(
            images=images,
            input_ids=text.input_ids,
            attention_mask=text.attention_mask,
            labels=text.labels,
            query_mask=text.query_mask,
            state=state,
            actions=actions,
            is_padding=torch.from_numpy(np.stack([frame.is_padding for frame in frames])),
            plain=plain,
        )

    def _text(self, frames: Sequence[RobotFrame], *, reasoning: bool) -> TextBatch:
        turns = [
            self._prompts.robot_turn(
                frame.instruction,
                len(self._cameras),
                render_reasoning(frame.reasoning) if reasoning else "",
                context=not frame.keep,
            )
            for frame in frames
        ]
        return text_batch(turns, self._padding)

    def _images(self, frame: RobotFrame) -> list[NDArray[np.uint8]]:
        missing = [camera for camera in self._cameras if camera not in frame.images]
        if missing:
            raise ArtifactError(
                f"A frame lacks the camera {missing[0]!r} (it has {sorted(frame.images)}); a policy needs the cameras "
                "it was made for."
            )
        return [frame.images[camera] for camera in self._cameras]


class MultimodalCollator:
    """Makes a `MultimodalBatch` of rows of the multimodal shard (`schemas.MULTIMODAL`)."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, config: ModelConfig, augmentation: AugmentationConfig | None = None
    ) -> None:
        self._prompts = Prompts(tokenizer, config)
        self._padding = int(tokenizer.pad_token_id)
        self._config = config
        self._augmentation = augmentation

    def __call__(
        self, rows: Sequence[Mapping[str, Any]], generator: torch.Generator, share: Share = WHOLE
    ) -> MultimodalBatch:
        """As `RobotCollator.__call__`; `ArtifactError` when an image cannot be decoded."""
        images = torch.stack([image_tensor([_decoded(row["image"])], self._config.image_size) for row in rows])
        if self._augmentation is not None:
            images = augment_images(images, self._augmentation, generator, share)
        turns = [self._prompts.multimodal_turn(row["question"], row["answer"]) for row in rows]
        text = text_batch(turns, self._padding)
        return MultimodalBatch(images, text.input_ids, text.attention_mask, text.labels)


def _decoded(image: bytes) -> NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ArtifactError("An image of the multimodal shard cannot be decoded; build the shard again.")
    return np.asarray(pixels, np.uint8)


def _stacked(values: Sequence[NDArray[np.float32] | None], signal: str) -> Tensor:
    present = [value for value in values if value is not None]
    if len(present) < len(values):
        raise ArtifactError(f"A frame has no {signal}; such demonstrations cannot train this policy.")
    return torch.from_numpy(np.stack(present))
