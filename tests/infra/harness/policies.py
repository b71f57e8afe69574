"""Policies that other processes load by import path."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dualvla_core.evaluation.policy import Decision, PolicyObservation
from dualvla_core.simulation.metaworld import MetaWorldEnvironment, ScriptedExpert
from dualvla_core.simulation.narration import instruction_of
from dualvla_core.simulation.scenes import SCENES


class ExpertPolicy:
    """Meta-World's scripted expert on a simulation of its own, which it keeps in step with the one that is played.

    It takes nothing from the observation, so it succeeds only if its actions are carried out exactly as it means them.
    """

    def __init__(self, chunk: int) -> None:
        self._chunk = chunk
        self._twins: dict[str, tuple[MetaWorldEnvironment, ScriptedExpert]] = {}
        self._seed, self._task = 0, ""

    def reset(self, seed: int) -> None:
        self._seed, self._task = seed, ""

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        if not self._task:
            self._task = next(task for task in SCENES if instruction_of(task, self._seed) == instruction)
            if self._task not in self._twins:
                self._twins[self._task] = MetaWorldEnvironment(self._task, 32, 32), ScriptedExpert(self._task)
            self._twins[self._task][0].reset(self._seed)
        environment, expert = self._twins[self._task]
        actions = []
        for _ in range(self._chunk):
            actions.append(expert.act(environment.privileged))
            environment.step(actions[-1])
        return Decision(np.array(actions), f"{instruction} Move forward.")


class RandomPolicy:
    """Uniformly random actions; an episode's follow from its seed alone."""

    def __init__(self, chunk: int, size: int = 4, scale: float = 1.0) -> None:
        self._shape = (chunk, size)
        self._scale = scale
        self._random = np.random.default_rng(0)

    def reset(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        return Decision(self._random.uniform(-self._scale, self._scale, self._shape).astype(np.float32))


class SharedPolicy(RandomPolicy):
    """Decides for several episodes at once, slowly enough for others to ask meanwhile; refuses odd companies."""

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        time.sleep(0.02)
        return super().act(observation, instruction)

    @staticmethod
    def act_together(
        policies: Sequence[SharedPolicy], observations: Sequence[PolicyObservation], instructions: Sequence[str]
    ) -> list[Decision]:
        if len(policies) % 2:
            raise ValueError(f"{len(policies)} are an odd company")
        asked = zip(policies, observations, instructions, strict=True)
        return [RandomPolicy.act(policy, seen, instruction) for policy, seen, instruction in asked]


class RaisingPolicy(RandomPolicy):
    """Raises at every decision."""

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        raise ValueError("the weights are sour")


class UnloadablePolicy(RandomPolicy):
    """Cannot even be made."""

    def __init__(self) -> None:
        raise FileNotFoundError("no such checkpoint")


class DyingPolicy(RandomPolicy):
    """Takes its process with it in the middle of an episode, once."""

    def __init__(self, chunk: int, flag: str) -> None:
        super().__init__(chunk)
        self._flag = Path(flag)
        self._decisions = 0

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        self._decisions += 1
        if self._decisions == 5 and not self._flag.exists():
            self._flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(observation, instruction)
