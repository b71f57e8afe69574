"""Acting in real time: reasoning now and then, cached in between, skipped where the policy has nothing to say.

What a robot waits for is text, token by token. So a session asks for it every n decisions only; in between, the last
text stands before the action queries. A policy trained on pruned reasoning skips most of the rest by itself: where it
emits its first action query at once, no token of text is generated.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from dualvla_core.evaluation.policy import REASONING_POLICIES, Decision, PolicyError, PolicyObservation
from dualvla_core.models.batches import image_tensor
from dualvla_core.models.drafting import reason_from_drafts
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.params import Params


class InferenceConfig(Params):
    """How a session reasons and acts."""

    reasoning: Literal["adaptive", "always", "never"] = Field(
        "adaptive",
        description="adaptive = the policy opens an episode with a text and then decides by its first token whether it "
        "speaks; always = it must, which is what unpruned reasoning costs; never = it acts at once.",
    )
    reason_every: int = Field(
        1, ge=1, description="Decisions from one reasoning to the next; the text is kept between."
    )
    drafted: bool = Field(
        False,
        description="Check the last text in one pass and generate only from where it changes, instead of all of it.",
    )
    execute: int = Field(1, ge=1, description="Actions carried out between two decisions (control steps).")
    ensemble: float | None = Field(
        None,
        ge=0,
        description="m of temporal ensembling: predictions of one step are averaged with weights exp(-m i), i = 0 for "
        "the oldest; none = the newest alone.",
    )


@dataclass(frozen=True)
class TimedDecision(Decision):
    """A decision and what it cost."""

    reason_s: float = 0.0
    """Time spent on text, s; of the whole batch it was decided in."""
    act_s: float = 0.0
    """Time spent on actions, s; of the whole batch."""
    reasoning_tokens: int = 0
    """Tokens of the text made for this decision; 0 where the text is a kept one or there is none."""


class ChunkEnsemble:
    """Averages what successive chunks say of the same control step (temporal ensembling of ACT, Zhao et al. 2023)."""

    def __init__(self, decay: float, execute: int) -> None:
        self._decay = decay
        self._execute = execute
        self._chunks: deque[NDArray[np.float32]] = deque()

    def add(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        """The averaged chunk ``[T, A]`` from now on, after the newest prediction ``[T, A]``."""
        self._chunks = deque(older[self._execute :] for older in self._chunks if len(older) > self._execute)
        self._chunks.append(chunk)
        averaged = np.empty_like(chunk)
        for step in range(len(chunk)):
            said = np.stack([each[step] for each in self._chunks if len(each) > step])
            weights = np.exp(-self._decay * np.arange(len(said)))
            averaged[step] = weights @ said / weights.sum()
        return averaged


class Session:
    """What is remembered of one episode of one robot."""

    def __init__(self, config: InferenceConfig, seed: int = 0) -> None:
        self.config = config
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Begin an episode; its randomness follows from ``seed``."""
        self.generator = torch.Generator().manual_seed(seed)
        self.decisions = 0
        self.said = ""
        self.ensemble = None
        if self.config.ensemble is not None:
            self.ensemble = ChunkEnsemble(self.config.ensemble, self.config.execute)

    @property
    def due(self) -> bool:
        """Whether the next decision begins with reasoning."""
        return self.config.reasoning != "never" and self.decisions % self.config.reason_every == 0

    @property
    def mode(self) -> Literal["forced", "drafted", "free"]:
        """How the next reasoning comes about: it may not be silence, it begins with the last one, or neither."""
        if self.config.reasoning == "always" or self.decisions == 0:
            return "forced"
        return "drafted" if self.config.drafted else "free"


@dataclass(frozen=True)
class Request:
    """One robot's wish for a decision."""

    session: Session
    observation: PolicyObservation
    instruction: str


def decide_together(model: DualVLA, requests: Sequence[Request]) -> list[TimedDecision]:
    """Decide for several robots at once: one generation for those that reason now, one forward for all.

    Raises `PolicyError` or `ObservationError` for an observation that lacks what the policy was trained with.
    """
    size = model.config.image_size
    images = torch.stack(
        [image_tensor([camera_image(each.observation, camera) for camera in model.cameras], size) for each in requests]
    )
    states = [known for each in requests if (known := each.observation["state"]) is not None]
    state = torch.from_numpy(np.stack(states).astype(np.float32)) if len(states) == len(requests) else None
    began = time.perf_counter()
    tokens = _reason(model, requests, images)
    reasoned = time.perf_counter()
    noise = torch.stack([model.draw_noise(each.session.generator) for each in requests])
    said = [each.session.said for each in requests]
    actions = model.act_after(images, [each.instruction for each in requests], state, said, noise).numpy()
    done = time.perf_counter()
    decisions = []
    for request, chunk, count in zip(requests, actions, tokens, strict=True):
        session = request.session
        session.decisions += 1
        averaged = chunk if session.ensemble is None else session.ensemble.add(chunk)
        decisions.append(TimedDecision(averaged, session.said or None, reasoned - began, done - reasoned, count))
    return decisions


def _reason(model: DualVLA, requests: Sequence[Request], images: torch.Tensor) -> list[int]:
    """Renew the text of the sessions for which it is due; returns how many tokens each one took."""
    counts = [0] * len(requests)
    if model.policy_type not in REASONING_POLICIES:
        return counts
    for mode in ("drafted", "free", "forced"):
        rows = [index for index, each in enumerate(requests) if each.session.due and each.session.mode == mode]
        if rows:
            seen, instruction = images[rows], [requests[row].instruction for row in rows]
            if mode == "drafted":
                said = reason_from_drafts(model, seen, instruction, [requests[row].session.said for row in rows])
            else:
                said = model.reason(seen, instruction, must_speak=mode == "forced")
            for row, text in zip(rows, said, strict=True):
                requests[row].session.said = text
                counts[row] = len(model.tokenizer.encode(text, add_special_tokens=False))
    return counts


def camera_image(observation: PolicyObservation, camera: str) -> NDArray[np.uint8]:
    """The image ``[H, W, 3]`` of a camera, by its name in the dataset or the last part of it.

    Raises `PolicyError` when there is none.
    """
    images = observation["images"]
    for name in (camera, camera.rpartition(".")[2]):
        if name in images:
            return images[name]
    raise PolicyError(f"The policy was trained with the camera {camera!r}, the observation has {sorted(images)}.")
