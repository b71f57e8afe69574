"""A trained model as the `Policy` and the `Answerer` that evaluation asks for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dualvla_core.evaluation.policy import Decision, PolicyObservation
from dualvla_core.models.batches import image_tensor
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.models.inference import InferenceConfig, Request, Session, TimedDecision, decide_together

ROLLOUTS = InferenceConfig(drafted=True)
"""How policies are measured: one that reasons opens an episode with a text, then speaks when it wants to."""


class ModelPolicy:
    """One robot's policy; several of one model decide together."""

    def __init__(self, model: DualVLA, config: InferenceConfig = ROLLOUTS) -> None:
        self.model = model.eval()
        self._session = Session(config)

    def reset(self, seed: int) -> None:
        """See `Policy.reset`."""
        self._session.reset(seed)

    def act(self, observation: PolicyObservation, instruction: str) -> TimedDecision:
        """See `Policy.act`; simulators name cameras by the last part of the dataset's names."""
        (decision,) = decide_together(self.model, [Request(self._session, observation, instruction)])
        return decision

    @staticmethod
    def act_together(
        policies: Sequence[ModelPolicy], observations: Sequence[PolicyObservation], instructions: Sequence[str]
    ) -> list[Decision]:
        """See `BatchPolicy.act_together`."""
        model = policies[0].model
        assert all(each.model is model for each in policies), "policies of one checkpoint share its weights"
        asked = zip(policies, observations, instructions, strict=True)
        return [*decide_together(model, [Request(policy._session, seen, said) for policy, seen, said in asked])]

    def answer(
        self, images: Sequence[Sequence[NDArray[np.uint8]]], questions: Sequence[str], max_tokens: int
    ) -> list[str]:
        """See `Answerer.answer`."""
        size = self.model.config.image_size
        return self.model.answer(
            torch.stack([image_tensor(list(each), size) for each in images]), questions, max_tokens
        )


def load_policy(folder: str) -> ModelPolicy:
    """The policy of a checkpoint folder; policies of one process share its weights."""
    return ModelPolicy(_weights(folder))


@functools.cache
def _weights(folder: str) -> DualVLA:
    torch.set_num_threads(1)  # a rollout has a process per core
    return DualVLA.from_pretrained(Path(folder)).to("cuda" if torch.cuda.is_available() else "cpu")
