"""An environment without a simulator, and the benchmark that plays it in other processes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from dualvla_core.simulation.environment import THIRD_PERSON, WRIST, Action, Camera, Environment, Observation, Vector
from infra.harness.benchmark import SimulationBenchmark

SOLVED_AFTER = 9
"""Control steps after which episodes of even seeds succeed; those of odd ones never do."""

FAULT = "HARNESS_TEST_FAULT"
"""Environment variable ``<kind>:<seed>:<flag file>``: what goes wrong once, in the middle of which episode."""


class FakeEnvironment:
    """Adds up its actions; the state's first number is the seed, the second the steps done."""

    def __init__(self) -> None:
        self._seed = self._steps = 0

    def reset(self, seed: int) -> None:
        self._seed, self._steps = seed, 0

    def step(self, action: Action) -> None:
        self._steps += 1
        kind, seed, flag = os.environ.get(FAULT, "::").split(":")
        if kind and self._seed == int(seed) and self._steps == 5 and not Path(flag).exists():
            Path(flag).touch()
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "hang":
                time.sleep(3600)
            raise RuntimeError("the simulation exploded")

    def observe(self) -> Observation:
        images = {camera: np.full((32, 32, 3), self._steps, np.uint8) for camera in (THIRD_PERSON, WRIST)}
        return Observation(images=images, state=self.state, objects=self.objects, success=self.success)

    @property
    def state(self) -> Action:
        return np.array([self._seed, self._steps, 0.1], np.float32)

    @property
    def objects(self) -> dict[str, Vector]:
        return {"gripper": np.array([0.0, self._steps, 0.0])}

    @property
    def success(self) -> bool:
        return self._seed % 2 == 0 and self._steps >= SOLVED_AFTER

    @property
    def solved(self) -> bool:
        return self.success

    @property
    def third_person(self) -> Camera:
        raise NotImplementedError

    def close(self) -> None:
        self._steps = -1


class FakeBenchmark(SimulationBenchmark):
    """The benchmark with its simulator taken out."""

    def make_environment(self, task: str) -> Environment:
        return FakeEnvironment()
