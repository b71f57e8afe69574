"""Rollout jobs that play without a simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dualvla_core.evaluation.config import RolloutConfig
from infra.harness import supervisor
from infra.harness.job import PolicySpec

MakeSpec = Callable[..., PolicySpec]


@pytest.fixture
def config() -> RolloutConfig:
    """Four episodes of at most 20 steps, of which those with even seeds succeed."""
    return RolloutConfig(
        tasks=("reach", "door-open"), first_seed=6, episodes_per_task=2, max_steps=20, execute=4, judge_frames=3
    )


@pytest.fixture
def no_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(supervisor.BENCHMARKS, "metaworld", "tests.infra.harness.fakes:FakeBenchmark")


@pytest.fixture
def spec() -> MakeSpec:
    """A factory of specs from the name of a policy in `policies` and its arguments."""

    def make(name: str = "RandomPolicy", **arguments: Any) -> PolicySpec:
        return PolicySpec(
            factory=f"tests.infra.harness.policies:{name}",
            arguments=arguments or {"chunk": 6},
            policy_type="specialist",
            identity=name,
        )

    return make
