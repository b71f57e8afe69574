"""Plays a trained policy in closed loop under a protocol of several trials, apart from any training."""

from __future__ import annotations

from prefect import flow
from pydantic import Field

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.params import Params
from flows.demonstrations import first
from infra.manifest import ArtifactRef
from tasks.run_rollouts import run_rollouts
from tasks.stage import Missing, RunContext, collected


class Trials(Params):
    """What is played, one after another."""

    trials: tuple[RolloutConfig, ...] = Field(min_length=1, description="Each becomes an artifact of its own")


@flow(name="play", persist_result=False)
def play(config: Trials, policy: ArtifactRef, kind: PolicyType, processes: int, run: RunContext) -> list[ArtifactRef]:
    """The rollouts of a policy, trials after trials: they share the machine's simulators."""
    rollouts = []
    for trials in config.trials:
        label = f"{policy.stage} · {', '.join(trials.tasks)}"
        played = first(collected([run_rollouts.submit(label, run, trials, policy, kind, processes)]))
        assert not isinstance(played, Missing), "only dry runs miss"
        rollouts.append(played)
    return rollouts
