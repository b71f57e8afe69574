"""A trained model as the `Policy` and the `Answerer` that evaluation asks for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dualvla_core.evaluation.policy import REASONING_POLICIES, Decision, PolicyError, PolicyObservation
from dualvla_core.models.batches import image_tensor
from dualvla_core.models.drafting import reason_from_draft
from dualvla_core.models.dualvla import DualVLA


class ModelPolicy:
    """Acts with a `DualVLA`; a reasoning policy opens an episode with a text, then speaks when it wants to."""

    def __init__(self, model: DualVLA) -> None:
        self.model = model.eval()
        self._generator = torch.Generator()
        self._said: str | None = None

    def reset(self, seed: int) -> None:
        """See `Policy.reset`."""
        self._generator.manual_seed(seed)
        self._said = None

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        """See `Policy.act`; simulators name cameras by the last part of the dataset's names."""
        pixels = [camera_image(observation, camera) for camera in self.model.cameras]
        images = image_tensor(pixels, self.model.config.image_size)[None]
        known = observation["state"]
        state = None if known is None else torch.tensor(known, dtype=torch.float32)[None]
        text = ""
        if self.model.policy_type in REASONING_POLICIES:
            text = self._said = self._reason(images, instruction)
        noise = self.model.draw_noise(self._generator)[None]
        (actions,) = self.model.act_after(images, [instruction], state, [text], noise)
        return Decision(actions.numpy(), text or None)

    def _reason(self, images: Tensor, instruction: str) -> str:
        if self._said is None:
            return self.model.reason(images, [instruction], must_speak=True)[0]
        return reason_from_draft(self.model, images, instruction, self._said)

    def answer(
        self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str], max_tokens: int
    ) -> list[str]:
        """See `Answerer.answer`."""
        size = self.model.config.image_size
        return self.model.answer(
            torch.stack([image_tensor(list(each), size) for each in images]), questions, max_tokens
        )


def camera_image(observation: PolicyObservation, camera: str) -> NDArray[np.uint8]:
    """The image ``[H, W, 3]`` of a camera, by its name in the dataset or the last part of it.

    Raises `PolicyError` when there is none.
    """
    images = observation["images"]
    for name in (camera, camera.rpartition(".")[2]):
        if name in images:
            return images[name]
    raise PolicyError(f"The policy was trained with the camera {camera!r}, the observation has {sorted(images)}.")


def load_policy(folder: str) -> ModelPolicy:
    """The policy of a checkpoint folder; policies of one process share its weights."""
    return ModelPolicy(_weights(folder))


@functools.cache
def _weights(folder: str) -> DualVLA:
    torch.set_num_threads(1)  # a rollout has a process per core
    return DualVLA.from_pretrained(Path(folder)).to("cuda" if torch.cuda.is_available() else "cpu")
