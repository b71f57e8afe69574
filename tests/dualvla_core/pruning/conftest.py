"""Evidence about synthetic segments."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.pruning.decide import SegmentEvidence
from dualvla_core.schemas import REASONING


@pytest.fixture(scope="session")
def random_evidence() -> Callable[..., SegmentEvidence]:
    """A factory of evidence about episodes of given lengths; each depends on its own name only."""

    def make(lengths: Sequence[int], names: Sequence[str] | None = None, fps: float = 10.0) -> SegmentEvidence:
        names = [f"episode-{index}" for index in range(len(lengths))] if names is None else names
        scores, accelerations, flips, states, reasoning = [], [], [], [], []
        for name, length in zip(names, lengths, strict=True):
            rng = np.random.default_rng([ord(letter) for letter in name])
            acceleration = rng.random((length, 2))
            acceleration[[0, -1]] = np.nan
            scores.append(rng.random(length).astype(np.float32))
            accelerations.append(acceleration)
            flips.append(rng.random(length) < 0.1)
            states += [[bool(state)] for state in np.cumsum(flips[-1]) % 2]
            reasoning += [[{"style": "plan", "content": f"move it  {index}"}] for index in range(length)]
        return SegmentEvidence(
            episodes=list(names),
            lengths=np.array(lengths, np.int64),
            fps=np.full(len(lengths), fps),
            scores=np.concatenate(scores),
            acceleration=np.concatenate(accelerations),
            gripper_flip=np.concatenate(flips),
            gripper_open=pa.array(states, pa.list_(pa.bool_())),
            reasoning=pa.array(reasoning, REASONING),
        )

    return make
