from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from dualvla_core.errors import DependencyError
from dualvla_core.params import Summary
from dualvla_core.simulation.config import RecordConfig
from dualvla_core.simulation.environment import Observation
from dualvla_core.simulation.metaworld import MetaWorldEnvironment
from dualvla_core.simulation.recording import record_batch

Recorded: TypeAlias = tuple[Path, Summary]

# Of the expert's reach attempts, 1003 and 1008 take 34 steps and 1000 takes 47: the last one fails.
SOLVED, ALSO_SOLVED, UNSOLVED = 1003, 1008, 1000


@pytest.fixture(scope="session")
def tiny() -> RecordConfig:
    return RecordConfig(image_size=32, wrist_image_size=48, max_steps=40, tasks=("reach",), questions_per_episode=5)


@pytest.fixture(scope="session")
def simulator() -> None:
    try:
        MetaWorldEnvironment("reach", 32, 32).close()
    except DependencyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def record(
    simulator: None, tiny: RecordConfig, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[list[int]], Recorded]:
    def run(seeds: list[int]) -> Recorded:
        folder = tmp_path_factory.mktemp("batch")
        return folder, record_batch(tiny, "reach", seeds, folder)

    return run


@pytest.fixture(scope="session")
def mixed_batch(record: Callable[[list[int]], Recorded]) -> Recorded:
    return record([SOLVED, UNSOLVED])


@pytest.fixture(scope="session")
def second_batch(record: Callable[[list[int]], Recorded]) -> Recorded:
    return record([ALSO_SOLVED])


@pytest.fixture(scope="session")
def observation() -> Callable[..., Observation]:
    """An imageless moment: hand position, positions of things, gripper opening, success."""

    def make(hand: list[float], gripper: float = 1.0, success: bool = False, **things: list[float]) -> Observation:
        objects = {name: np.array(position) for name, position in {"gripper": hand, **things}.items()}
        state = np.array([*hand, 0, 0, 0, gripper], np.float32)
        return Observation(images={}, state=state, objects=objects, success=success)

    return make
