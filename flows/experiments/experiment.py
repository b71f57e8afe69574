"""What all experiments share: seeds, measures, and the report over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.experiments.config import ExperimentName
from dualvla_core.experiments.page import ExperimentText
from dualvla_core.pipeline_config import PipelineConfig
from dualvla_core.simulation.scenes import TaskName
from flows.curate import curate_all
from flows.demonstrations import first
from flows.recorded import recorded
from flows.train import Trainer, check_held_out, evaluate_policy, first_missing, unpruned
from infra.manifest import ArtifactRef
from tasks.measure_experiment import VariantArtifacts, measure_experiment, publish_experiment
from tasks.publish_report import CurationArtifacts, PolicyArtifacts
from tasks.run_rollouts import run_rollouts
from tasks.stage import Missing, Output, RunContext, collected
from tasks.train_specialist import train_specialist
from tasks.training_job import TrainingData

STAGES = (measure_experiment, publish_experiment)
"""The stages of experiments that training does not use."""


@dataclass(frozen=True)
class Trained:
    """A variant in training."""

    kind: PolicyType
    policy: Output
    fine_tuning: int
    """Optimizer steps since the specialist, over all trainings that lead to it."""


@dataclass(frozen=True)
class Bench:
    """What the variants of one training seed are made from."""

    run: RunContext
    config: PipelineConfig
    curated: CurationArtifacts
    raw: TrainingData

    @property
    def trainer(self) -> Trainer:
        """Submits trainings."""
        return Trainer(self.run, self.config, self.raw, self.curated.statistics)


@dataclass(frozen=True)
class Experiment:
    """An experiment: its words, what is compared with what, and how the variants of a seed are trained."""

    name: ExperimentName
    references: tuple[str, ...]
    """The variants others are compared with; the first is what the experiment is about."""
    describe: Callable[[PipelineConfig], ExperimentText]
    train: Callable[[Bench], dict[str, Trained] | Missing]
    unseen: bool = False
    """Whether the variants also play `ExperimentConfig.unseen_tasks`."""


def run_experiment(experiment: Experiment, config: PipelineConfig, run: RunContext | None) -> ArtifactRef | Missing:
    """Train and measure every variant with every seed, one seed after the other, and report on all."""
    if config.dataset.path is not None:
        raise ConfigError(
            f"dataset.path = {config.dataset.path!r} was given, but an experiment plays its policies in closed loop, "
            "which needs the simulator of the demonstrations; leave it out to record some."
        )
    with recorded(f"experiment-{experiment.name}", config, run) as context:
        measured = []
        for seed in range(config.experiment.seeds):
            found = measure_one_seed(context, experiment, seeded(config, seed), seed)
            if isinstance(found, Missing):
                return found
            measured.append(found)
        report = publish_experiment.submit(
            experiment.name,
            context,
            experiment.references,
            experiment.describe(config),
            setting_of(config),
            tuple(measured),
        )
        return first(collected([report]))


def seeded(config: PipelineConfig, seed: int) -> PipelineConfig:
    """The configuration whose trainings (and random pruning) draw from ``seed``; data and trials stay the same."""
    learning = config.learning
    trainings = {
        name: getattr(learning, name).model_copy(update={"seed": seed})
        for name in ("specialist", "generalist", "student")
    }
    update = {
        "learning": learning.model_copy(update=trainings),
        "pruning": config.pruning.model_copy(update={"seed": seed}),
    }
    return config.model_copy(update=update)


def measure_one_seed(
    run: RunContext, experiment: Experiment, config: PipelineConfig, seed: int
) -> ArtifactRef | Missing:
    """All variants of one training seed, trained, measured and committed."""
    _, curated = curate_all(run, config)
    if isinstance(curated, Missing):
        return first_missing(train_specialist.submit("action teacher", run, curated))
    check_held_out(run, curated.collection)
    raw = unpruned(run, config, curated)
    if isinstance(raw, Missing):
        return raw
    bench = Bench(run, config, curated, raw)
    trained = experiment.train(bench)
    if isinstance(trained, Missing):
        return trained
    unseen = config.experiment.unseen_tasks if experiment.unseen else ()
    measures = {name: _measures(bench, name, variant, unseen) for name, variant in trained.items()}
    variants: dict[str, VariantArtifacts] = {}
    for name, variant in trained.items():
        refs = collected(list(measures[name].values()))
        if isinstance(refs, Missing):
            return refs
        by_role = dict(zip(measures[name], refs, strict=True))
        elsewhere = by_role.pop("unseen", None)
        policy = PolicyArtifacts.model_validate(by_role)
        variants[name] = VariantArtifacts(policy=policy, fine_tuning=variant.fine_tuning, unseen=elsewhere)
    return first(collected([measure_experiment.submit(f"seed {seed}", run, experiment.name, seed, variants)]))


def _measures(bench: Bench, name: str, variant: Trained, unseen: tuple[TaskName, ...]) -> dict[str, Output]:
    run, config = bench.run, bench.config
    kind, policy = variant.kind, variant.policy
    found = {"checkpoint": policy}
    found |= evaluate_policy(run, config, name, kind, policy, bench.raw, bench.curated.statistics)
    if unseen:
        trials = config.evaluation.rollouts.model_copy(update={"tasks": unseen})
        label = f"{name} · unseen tasks"
        found["unseen"] = run_rollouts.submit(label, run, trials, policy, kind, config.execution)
    return found


def setting_of(config: PipelineConfig) -> Mapping[str, str]:
    """What was held fixed, in words."""
    record, learning, trials = config.record, config.learning, config.evaluation.rollouts
    batch = f"{learning.specialist.robot_batch} frames a robot step"
    return {
        "Demonstrations": f"{record.episodes_per_task} attempts at each of {', '.join(record.tasks)}",
        "Trials": f"seeds {trials.seeds.start} to {trials.seeds.stop - 1} of a task, {trials.max_steps} steps at most",
        "Model": f"{learning.model.backbone}, {learning.model.action_head} head",
        "Specialist": f"{learning.specialist.steps} steps, {batch}",
        "Generalist": f"{learning.generalist.steps} steps, every {learning.generalist.multimodal_every}. multimodal",
        "Student": f"{learning.student.steps} steps, λ = {learning.distillation.weight}, "
        f"T = {learning.distillation.temperature}",
        "Pruning": f"{config.pruning.rule} on {config.events.detector} boundaries",
    }
