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
    import torch  # noqa: PLC0415 - takes seconds, and planning does without

    from infra.harness.job import Crew, PolicySpec  # noqa: PLC0415 - the harness is an extra
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
        crew = Crew(players=processes, servers=1 if torch.cuda.is_available() else processes)
        summary = play(config, spec, job.output, job.timings, work=work, crew=crew, progress=job.progress)
        shutil.rmtree(work)
        return summary

    return Work(
        params={**config.model_dump(mode="json"), "policy_type": policy_type}, inputs={"policy": policy}, body=body
    )
