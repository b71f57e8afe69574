"""Which judged examples a judge is shown: of the most similar task, and of the most similar scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dualvla_core.evaluation.policy import REASONING_POLICIES
from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.config import KnowledgeConfig
from dualvla_core.vla_score.encoders import Floats, image_encoder, text_encoder
from dualvla_core.vla_score.knowledge import Entry
from dualvla_core.vla_score.prompt import Example
from dualvla_core.vla_score.recorded import trajectory_digest


class Retriever:
    """Dual retrieval (DualVLA 3.3) without leaks.

    Never shown are the trajectory under test, and other attempts from an initial condition of the same seed: they would
    tell the judge what this very scene deserves. Specialists are shown specialists, reasoning policies their like.
    """

    def __init__(self, entries: Sequence[Entry], config: KnowledgeConfig) -> None:
        self._entries = entries
        self._config = config
        self._digests = [trajectory_digest(entry.trajectory) for entry in entries]
        texts = [entry.trajectory.instruction for entry in entries]
        self._encode_text = text_encoder(config.text_encoder, texts)
        self._encode_images = image_encoder(config.image_encoder)
        self._texts = self._encode_text(texts)
        self._scenes = np.array([self._scene(entry.trajectory) for entry in entries])

    def __call__(self, trajectory: Trajectory) -> list[Example]:
        """The examples for a trajectory: first by task, then by scene, none twice."""
        allowed = [index for index in range(len(self._entries)) if self._may_show(index, trajectory)]
        by_text = self._texts @ self._encode_text([trajectory.instruction])[0]
        by_scene = self._scenes @ self._scene(trajectory)
        # texts repeat within a task: among equals the more similar scene comes first
        chosen = sorted(allowed, key=lambda i: (-round(by_text[i], 6), -by_scene[i]))[: self._config.k_task]
        others = [index for index in allowed if index not in chosen]
        chosen += sorted(others, key=lambda i: -by_scene[i])[: self._config.k_scene]
        return [Example(self._entries[index].trajectory, self._entries[index].verdict) for index in chosen]

    def _may_show(self, index: int, trajectory: Trajectory) -> bool:
        candidate = self._entries[index].trajectory
        same = self._digests[index] == trajectory_digest(trajectory) or candidate.seed == trajectory.seed
        alike = (candidate.policy_type in REASONING_POLICIES) == (trajectory.policy_type in REASONING_POLICIES)
        return alike and not same

    def _scene(self, trajectory: Trajectory) -> Floats:
        return self._encode_images([frame.image for frame in trajectory.frames])
