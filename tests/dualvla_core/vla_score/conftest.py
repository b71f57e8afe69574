"""Trajectories drawn by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dualvla_core.evaluation.trajectory import Trajectory, Utterance

MakeTrajectory = Callable[..., Trajectory]


@pytest.fixture(scope="session")
def trajectory() -> MakeTrajectory:
    """A factory from hand positions ``[T + 1, 3]`` (m), texts by step, and a gripper opening per state."""

    def make(
        positions: np.ndarray,
        said: Sequence[tuple[int, str]] = (),
        opening: np.ndarray | None = None,
        **fields: Any,
    ) -> Trajectory:
        count = len(positions)
        gripper = np.ones(count) if opening is None else opening
        states = np.hstack([positions, np.zeros((count, 3)), gripper[:, None]])
        defaults: dict[str, Any] = {
            "rollout": 0,
            "task": "reach",
            "seed": 5,
            "instruction": "Reach the red ball.",
            "policy_type": "generalist",
            "success": True,
            "max_steps": 200,
        }
        return Trajectory(
            **defaults | fields,
            states=states.astype(np.float32),
            actions=np.zeros((count - 1, 4), np.float32),
            reasoning=tuple(Utterance(step, text) for step, text in said),
            frames=(),
        )

    return make
