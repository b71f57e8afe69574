"""Training and evaluation: from curated shards to three policies and their measures."""

from __future__ import annotations

from itertools import repeat

from prefect import flow

from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.pipeline_config import PipelineConfig
from flows.curate import curate_all, first
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.build_shards import build_shards
from tasks.distill_student import distill_student
from tasks.measure_policy import measure_open_loop, run_multimodal_benchmarks
from tasks.prune_reasoning import prune_reasoning
from tasks.publish_report import CurationArtifacts
from tasks.run_rollouts import run_rollouts
from tasks.score_trajectories import score_trajectories
from tasks.stage import Missing, Output, RunContext, collected
from tasks.train_generalist import train_generalist
from tasks.train_specialist import train_specialist
from tasks.training_job import TrainingData

STAGES = (
    train_specialist,
    train_generalist,
    distill_student,
    run_rollouts,
    measure_open_loop,
    run_multimodal_benchmarks,
    score_trajectories,
)
"""The stages beyond curation, in the order of the data."""


def unpruned(run: RunContext, config: PipelineConfig, curated: CurationArtifacts) -> TrainingData | Missing:
    """The curated data with all of its reasoning: what both teachers learn from."""
    keep_all = config.pruning.model_copy(update={"rule": "none"})
    decisions = prune_reasoning.map(run, repeat(keep_all), curated.segments, curated.boundaries, curated.kinematics)
    shards = collected(build_shards.map(run, repeat(config.shards), curated.segments, decisions))
    if isinstance(shards, Missing):
        return shards
    return TrainingData(shards=shards, collection=curated.collection, multimodal=curated.multimodal)


def train_policies(
    run: RunContext, config: PipelineConfig, curated: CurationArtifacts, raw: TrainingData
) -> dict[PolicyType, Output]:
    """Specialist -> generalist -> DualVLA student, distilled from both."""
    learning, execution = config.learning, config.execution.training
    pruned = raw.model_copy(update={"shards": curated.shards})
    specialist = train_specialist.submit(
        "action teacher", run, learning.specialist, learning.model, raw, curated.statistics, execution
    )
    generalist = train_generalist.submit("reasoning teacher", run, learning.generalist, raw, specialist, execution)
    teachers = (generalist, specialist, generalist)  # where it starts, who teaches actions, who teaches reasoning
    student = distill_student.submit(
        "DualVLA", run, learning.student, learning.distillation, pruned, *teachers, execution
    )
    return {"specialist": specialist, "generalist": generalist, "dualvla": student}


def evaluate_policy(
    run: RunContext,
    config: PipelineConfig,
    kind: PolicyType,
    policy: Output,
    raw: TrainingData,
    statistics: ArtifactRef,
) -> list[Output]:
    """Everything a policy is measured by; closed loop only where the demonstrations come from a simulator."""
    wanted = config.evaluation
    measures = [measure_open_loop.submit(kind, run, wanted.open_loop, policy, raw, statistics)]
    if raw.multimodal is not None and kind != "specialist":
        measures.append(run_multimodal_benchmarks.submit(kind, run, wanted.questions, policy, raw.multimodal))
    if config.dataset.path is None:
        processes = config.execution.rollout_processes
        rollouts = run_rollouts.submit(kind, run, wanted.rollouts, policy, kind, processes)
        measures += [rollouts, score_trajectories.submit(kind, run, wanted.score, rollouts, kind)]
    return measures


@flow(name="train", flow_run_name="train {config.name}", persist_result=False)
def train(config: PipelineConfig, run: RunContext | None = None) -> dict[PolicyType, tuple[ArtifactRef, ...]] | Missing:
    """Curate, train the three policies, measure each; returns each policy's measures."""
    with recorded("train", config, run) as context:
        return train_all(context, config)


def train_all(run: RunContext, config: PipelineConfig) -> dict[PolicyType, tuple[ArtifactRef, ...]] | Missing:
    """Curation, training, measures."""
    curated, report = curate_all(run, config)
    if isinstance(curated, Missing):
        return first_missing(train_specialist.submit("action teacher", run, curated))
    collected([report])
    raw = unpruned(run, config, curated)
    if isinstance(raw, Missing):
        return first_missing(train_specialist.submit("action teacher", run, raw))
    policies = train_policies(run, config, curated, raw)
    measured = {
        kind: evaluate_policy(run, config, kind, policy, raw, curated.statistics) for kind, policy in policies.items()
    }
    results: dict[PolicyType, tuple[ArtifactRef, ...]] = {}
    for kind, outputs in measured.items():
        found = collected(outputs)
        if isinstance(found, Missing):
            return found
        results[kind] = found
    return results


def first_missing(output: Output) -> Missing:
    """What a dry run could not look up."""
    found = first(collected([output]))
    assert isinstance(found, Missing)
    return found
