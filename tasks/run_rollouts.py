"""Plays a trained policy in closed loop, on initial conditions it has never seen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.params import Summary
from dualvla_core.pipeline_config import ExecutionConfig
from infra.manifest import ArtifactRef
from infra.object_store import ObjectStore
from tasks.stage import Job, RunContext, Work, open_artifacts, stage


class UnfinishedRollouts:
    """Finished episodes of unfinished rollouts, in the object store: a machine that is lost loses none of them."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        self._store, self._key = store, key

    def load(self) -> Iterator[bytes]:
        """Every episode that was saved."""
        return map(self._store.get, _objects(self._store, self._key))

    def save(self, name: str, episode: bytes) -> None:
        """Keep one. Whichever attempt finished an episode, another attempt at it would have gone alike."""
        self._store.put(f"work/{self._key}/episodes/{name}", episode)


def discard_rollouts(store: ObjectStore, key: str) -> None:
    """Remove what was kept while the work was unfinished."""
    for name in _objects(store, key):
        store.delete(name)


def _objects(store: ObjectStore, key: str) -> list[str]:
    return [info.key for info in store.list(f"work/{key}/episodes/")]


@stage("run_rollouts", version=4, limit="gpu")
def run_rollouts(
    run: RunContext, config: RolloutConfig, policy: ArtifactRef, policy_type: PolicyType, execution: ExecutionConfig
) -> Work:
    """Every planned episode, step by step, with its success; complete, or an error that names what is missing."""
    from dualvla_core.simulation.suites import SUITES  # noqa: PLC0415 - the simulator is an extra
    from infra.harness.job import Crew, PolicySpec  # noqa: PLC0415
    from infra.harness.supervisor import run_rollouts as play  # noqa: PLC0415

    def body(job: Job) -> Summary:
        import torch  # noqa: PLC0415 - takes seconds, and planning does without

        spec = PolicySpec(
            factory="dualvla_core.models.policy:load_policy",
            arguments={"folder": str(job.store.folder(policy))},
            policy_type=policy_type,
            identity=policy.digest,
        )
        work = job.store.cache / "rollouts" / job.key
        work.mkdir(parents=True, exist_ok=True)
        players, batch = execution.rollout_processes, execution.rollout_batch
        crew = Crew(players=players, servers=1 if batch > 1 or torch.cuda.is_available() else players, batch=batch)
        kept = UnfinishedRollouts(job.store.objects, job.key)
        summary = play(config, spec, job.output, job.timings, work=work, crew=crew, progress=job.progress, kept=kept)
        shutil.rmtree(work)
        return summary

    assets = SUITES[config.benchmark].assets(config.tasks)
    params = {**config.model_dump(mode="json"), "policy_type": policy_type, **assets}
    return Work(
        params=params,
        inputs={"policy": policy},
        body=body,
        committed=lambda ref: discard_rollouts(open_artifacts(run).objects, ref.key),
    )
