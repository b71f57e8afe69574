"""Plays a trained policy in closed loop, on initial conditions it has never seen."""

from __future__ import annotations

import shutil

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("run_rollouts", version=2, limit="gpu")
def run_rollouts(
    _run: RunContext, config: RolloutConfig, policy: ArtifactRef, policy_type: PolicyType, processes: int
) -> Work:
    """Every planned episode, step by step, with its success; complete, or an error that names what is missing."""
    from dualvla_core.simulation.suites import SUITES  # noqa: PLC0415 - the simulator is an extra
    from infra.harness.job import PolicySpec  # noqa: PLC0415
    from infra.harness.supervisor import run_rollouts as play  # noqa: PLC0415

    def body(job: Job) -> Summary:
        spec = PolicySpec(
            factory="dualvla_core.models.policy:load_policy",
            arguments={"folder": str(job.store.folder(policy))},
            policy_type=policy_type,
            identity=policy.digest,
        )
        work = job.store.cache / "rollouts" / job.key
        work.mkdir(parents=True, exist_ok=True)
        summary = play(config, spec, job.output, job.timings, work=work, processes=processes, progress=job.progress)
        shutil.rmtree(work)
        return summary

    assets = SUITES[config.benchmark].assets(config.tasks)
    params = {**config.model_dump(mode="json"), "policy_type": policy_type, **assets}
    return Work(params=params, inputs={"policy": policy}, body=body)
