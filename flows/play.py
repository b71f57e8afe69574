"""Plays a trained policy in closed loop under a protocol of several trials, apart from any training."""

from __future__ import annotations

from prefect import flow

from dualvla_core.evaluation.config import ProtocolConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.pipeline_config import PipelineConfig
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.run_rollouts import run_rollouts
from tasks.stage import Missing, RunContext, collected


@flow(name="play", flow_run_name="play {config.name}", persist_result=False)
def play(
    config: PipelineConfig, run: RunContext, policy: ArtifactRef, kind: PolicyType, protocol: ProtocolConfig
) -> tuple[ArtifactRef, ...] | Missing:
    """The rollouts of a policy, an artifact for each of the trials.

    Args:
        config: Its name and how it executes count here, nothing else.
        run: Where this run keeps things.
        policy: A checkpoint.
        kind: What it was trained to be.
        protocol: What is played, one after another: they share the machine's simulators.
    """
    with recorded("play", config, run) as context:
        played = [
            collected([run_rollouts.submit(", ".join(trials.tasks), context, trials, policy, kind, config.execution)])
            for trials in protocol.trials
        ]
        missing = next((each for each in played if isinstance(each, Missing)), None)
        return missing or tuple(ref for each in played if not isinstance(each, Missing) for ref in each)
