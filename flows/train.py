"""Training and evaluation: from curated shards to policies, their measures, and a report on all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import repeat

from prefect import flow

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.pipeline_config import PipelineConfig
from dualvla_core.pruning.config import PruningConfig
from dualvla_core.training.config import TrainingConfig
from flows.benchmarks import STAGES as BENCHMARK_STAGES
from flows.benchmarks import run_benchmarks
from flows.curate import curate_all, publish
from flows.demonstrations import first
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.build_shards import build_shards
from tasks.cache_teacher_outputs import cache_teacher_outputs
from tasks.distill_student import distill_student
from tasks.measure_policy import measure_open_loop
from tasks.progress import tell
from tasks.prune_reasoning import prune_reasoning
from tasks.publish_report import CurationArtifacts, PolicyArtifacts
from tasks.run_rollouts import run_rollouts
from tasks.score_trajectories import score_trajectories
from tasks.stage import Missing, Output, RunContext, collected, open_artifacts
from tasks.train_generalist import train_generalist
from tasks.train_specialist import train_specialist
from tasks.training_job import TrainingData

STAGES = (
    train_specialist,
    train_generalist,
    cache_teacher_outputs,
    distill_student,
    run_rollouts,
    measure_open_loop,
    *BENCHMARK_STAGES,
    score_trajectories,
)
"""The stages between curation and report, in the order of the data."""


BLIND = "blind"
"""The control among the policies."""

_LAST = 19
"""The niceness of a process that only runs where no other wants to."""


def unpruned(run: RunContext, config: PipelineConfig, curated: CurationArtifacts) -> TrainingData | Missing:
    """The curated data with all of its reasoning: what both teachers learn from."""
    return pruned_by(run, config, curated, config.pruning.model_copy(update={"rule": "none"}))


def pruned_by(
    run: RunContext, config: PipelineConfig, curated: CurationArtifacts, rule: PruningConfig
) -> TrainingData | Missing:
    """The curated data, its reasoning pruned by another rule."""
    added = curated.reasoning or repeat(None)
    evidence = (curated.segments, curated.boundaries, curated.kinematics)
    decisions = prune_reasoning.map(run, repeat(rule), *evidence, added)
    shards = collected(build_shards.map(run, repeat(config.shards), curated.segments, decisions, added))
    if isinstance(shards, Missing):
        return shards
    return TrainingData(shards=shards, collection=curated.collection, multimodal=curated.multimodal)


@dataclass(frozen=True)
class Trainer:
    """Submits the trainings of one configuration."""

    run: RunContext
    config: PipelineConfig
    raw: TrainingData
    statistics: ArtifactRef

    def specialist(self, label: str = "action teacher", *, blind: bool = False) -> Output:
        """The action teacher, or its control that sees black images."""
        learning = self.config.learning
        model, execution = learning.model, self.config.execution.training
        if blind:  # nobody waits for it, so it takes what the others leave
            model = model.model_copy(update={"blind": True})
            execution = execution.model_copy(update={"niceness": _LAST})
        return train_specialist.submit(
            label, self.run, learning.specialist, model, self.raw, self.statistics, execution
        )

    def generalist(self, specialist: Output, training: TrainingConfig | None = None) -> Output:
        """The specialist, fine-tuned on raw mixed data."""
        wanted = self._mixed(training or self.config.learning.generalist)
        execution = self.config.execution.training
        return train_generalist.submit("reasoning teacher", self.run, wanted, self.raw, specialist, execution)

    def student(
        self, label: str, pruned: TrainingData, specialist: Output, generalist: Output, how: DistillationConfig
    ) -> Output:
        """The generalist, distilled on pruned data from both teachers."""
        teachers = (generalist, specialist, generalist)  # where it starts, who teaches actions, who teaches reasoning
        wanted, execution = self._mixed(self.config.learning.student), self.config.execution.training
        taught: TrainingData | Missing = pruned
        if how.teachers == "cached":
            asked = (wanted, how, pruned, specialist, generalist)
            cached = collected([cache_teacher_outputs.submit("both teachers", self.run, *asked)])
            taught = cached if isinstance(cached, Missing) else pruned.model_copy(update={"teacher_cache": cached[0]})
        return distill_student.submit(label, self.run, wanted, how, taught, *teachers, execution)

    def _mixed(self, training: TrainingConfig) -> TrainingConfig:
        """Robot steps only, where there are no visual questions."""
        return training if self.raw.multimodal is not None else training.model_copy(update={"multimodal_every": 0})


def train_policies(
    run: RunContext, config: PipelineConfig, curated: CurationArtifacts, raw: TrainingData
) -> dict[str, tuple[PolicyType, Output]]:
    """Specialist -> generalist -> DualVLA student, distilled from both; by name, with what each is trained to be."""
    if raw.multimodal is None:
        tell("There are no visual questions beside these demonstrations: generalist and student learn from robot data.")
    trainer = Trainer(run, config, raw, curated.statistics)
    pruned = raw.model_copy(update={"shards": curated.shards})
    specialist = trainer.specialist()
    policies: dict[str, tuple[PolicyType, Output]] = {"specialist": ("specialist", specialist)}
    if config.learning.blind_control:
        policies[BLIND] = ("specialist", trainer.specialist("blind control", blind=True))
    generalist = trainer.generalist(specialist)
    student = trainer.student("DualVLA", pruned, specialist, generalist, config.learning.distillation)
    return {**policies, "generalist": ("generalist", generalist), "dualvla": ("dualvla", student)}


def evaluate_policy(
    run: RunContext,
    config: PipelineConfig,
    name: str,
    kind: PolicyType,
    policy: Output,
    raw: TrainingData,
    statistics: ArtifactRef,
) -> dict[str, Output]:
    """Everything a policy is measured by; closed loop only where the demonstrations come from a simulator."""
    wanted = config.evaluation
    measures = {"open_loop": measure_open_loop.submit(name, run, wanted.open_loop, policy, raw, statistics)}
    if kind != "specialist":
        measures |= run_benchmarks(run, config, name, policy, raw.multimodal)
    if config.dataset.path is None:
        rollouts = run_rollouts.submit(name, run, wanted.rollouts, policy, kind, config.execution)
        measures |= {"rollouts": rollouts, "score": score_trajectories.submit(name, run, wanted.score, rollouts, kind)}
    return measures


@flow(name="train", flow_run_name="train {config.name}", persist_result=False)
def train(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef | Missing:
    """Curate, train the policies, measure each, and report on all of it; the report is returned."""
    with recorded("train", config, run) as context:
        return train_all(context, config)


def train_all(run: RunContext, config: PipelineConfig) -> ArtifactRef | Missing:
    """Curation, training, measures and their report."""
    dataset, curated = curate_all(run, config)
    if isinstance(curated, Missing):
        return first_missing(train_specialist.submit("action teacher", run, curated))
    check_held_out(run, curated.collection)
    raw = unpruned(run, config, curated)
    if isinstance(raw, Missing):
        return first_missing(train_specialist.submit("action teacher", run, raw))
    policies = train_policies(run, config, curated, raw)
    measured = {
        name: {"checkpoint": policy, **evaluate_policy(run, config, name, kind, policy, raw, curated.statistics)}
        for name, (kind, policy) in sorted(policies.items(), key=lambda item: item[0] == BLIND)  # it is ready last
    }
    gathered = gather_policies({name: measured[name] for name in policies})
    return publish(run, config, dataset, curated, gathered)


def gather_policies(measured: Mapping[str, Mapping[str, Output]]) -> dict[str, PolicyArtifacts] | Missing:
    """Wait for the checkpoints and measures of every policy; in a dry run, the first that is missing."""
    gathered: dict[str, PolicyArtifacts] = {}
    for name, outputs in measured.items():
        refs = collected(list(outputs.values()))
        if isinstance(refs, Missing):
            return refs
        gathered[name] = PolicyArtifacts.model_validate(dict(zip(outputs, refs, strict=True)))
    return gathered


def check_held_out(run: RunContext, collection: ArtifactRef) -> None:
    """Refuse to train where nothing could be measured afterwards. Raises `DatasetError`."""
    summary = open_artifacts(run).manifest(collection).summary
    if not summary["held_out_episodes"]:
        raise DatasetError(
            f"None of the {summary['episodes']} episodes is held out, so that nothing could be measured after a "
            "training; raise dataset.held_out_fraction, or add demonstrations from a second initial condition."
        )


def first_missing(output: Output) -> Missing:
    """What a dry run could not look up."""
    found = first(collected([output]))
    assert isinstance(found, Missing)
    return found
