"""Promotion: the newest student becomes the current model, unless it is worse beyond doubt."""

from __future__ import annotations

from prefect import flow, get_run_logger

from dualvla_core.errors import ArtifactError
from dualvla_core.pipeline_config import PipelineConfig
from flows.demonstrations import first
from flows.recorded import recorded
from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef
from infra.pins import pin, pins
from infra.run_record import RunRecord, runs, used_refs
from tasks.compare_policies import compare_policies
from tasks.distill_student import distill_student
from tasks.run_rollouts import run_rollouts
from tasks.stage import Missing, Output, RunContext, collected, open_artifacts

STAGES = (compare_policies,)


class RegressionError(ArtifactError):
    """A candidate that is worse than the current model."""


@flow(name="promote", flow_run_name="promote {config.name}", persist_result=False)
def promote(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef:
    """Compare the newest trained student with the current model on the same trials, and pin the better one.

    The current model is the pin ``current/<name>``. Raises `RegressionError` where the candidate's success is lower
    and the 95 % interval of the difference excludes zero.

    Args:
        config: The parameters of the training whose student is the candidate.
        run: Where this run keeps things; none = the settings of the machine.
    """
    with recorded("promote", config, run) as context:
        store = open_artifacts(context)
        training = _last_training(store, config.name)
        config = PipelineConfig.model_validate(training.config)
        candidate, current = student_of(store, training), current_model(store, config.name)
        if current is not None and current != candidate:
            _refuse_regression(context, config, candidate, current)
        pin(store.objects, f"current/{config.name}", str(candidate))
        get_run_logger().info("The current model of %s is %s.", config.name, candidate)
        return candidate


def current_model(store: ArtifactStore, name: str) -> ArtifactRef | None:
    """The policy that is pinned as ``current/<name>``."""
    target = next((each.target for each in pins(store.objects) if each.name == f"current/{name}"), None)
    manifest = store.find(*target.split("/")) if target else None
    return manifest.ref if manifest else None


def student_of(store: ArtifactStore, training: RunRecord) -> ArtifactRef:
    """The student that a training run made or found."""
    for stage, key in used_refs(store.objects, training.id):
        manifest = store.find(stage, key) if stage == distill_student.name else None
        if manifest is not None:
            return manifest.ref
    raise ArtifactError(f"The student of {training.id} is not in the store any more; run `dualvla resume` on it.")


def _last_training(store: ArtifactStore, name: str) -> RunRecord:
    done = [run for run in runs(store.objects) if (run.flow, run.name, run.state) == ("train", name, "completed")]
    if not done:
        raise ArtifactError(f"No training of {name!r} is completed in {store.objects.uri}; run `dualvla train` first.")
    return done[-1]


def _refuse_regression(run: RunContext, config: PipelineConfig, candidate: ArtifactRef, current: ArtifactRef) -> None:
    """Play both under the candidate's protocol (what was played before is found) and compare."""
    rollouts: list[Output] = [
        run_rollouts.submit(label, run, config.evaluation.rollouts, policy, "dualvla", config.execution)
        for label, policy in (("candidate", candidate), ("current model", current))
    ]
    verdict = first(collected([compare_policies.submit(config.name, run, *rollouts)]))
    assert not isinstance(verdict, Missing)
    found = open_artifacts(run).manifest(verdict).summary
    if found["regression"]:
        raise RegressionError(
            f"{candidate} succeeds in {found['candidate']:.1%} of the trials and the current model {current} in "
            f"{found['current']:.1%}; the difference ({found['low']:+.1%} to {found['high']:+.1%}) is beyond doubt, so "
            f"it was not promoted; `dualvla artifacts pin {candidate} --as current/{config.name}` does it all the same."
        )
