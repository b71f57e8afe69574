"""What does each teacher add?"""

from __future__ import annotations

from prefect import flow

from dualvla_core.experiments.page import ExperimentText
from dualvla_core.pipeline_config import PipelineConfig
from flows.experiments.experiment import Bench, Experiment, Trained, run_experiment
from infra.manifest import ArtifactRef
from tasks.stage import Missing, RunContext

TEACHERS: dict[str, tuple[bool, bool, str]] = {
    "both": (True, True, "both teachers: DualVLA"),
    "action_only": (True, False, "the action teacher alone"),
    "reasoning_only": (False, True, "the reasoning teacher alone"),
    "neither": (False, False, "no distillation: hard labels alone"),
}
"""Variant: action teacher, reasoning teacher, what it is."""


def describe(config: PipelineConfig) -> ExperimentText:
    """Its words."""
    unseen = config.experiment.unseen_tasks
    tasks = f" Unseen tasks: {', '.join(unseen)}." if unseen else ""
    return ExperimentText(
        title="Teachers",
        question="Students that differ only in who teaches them: what does each teacher add?" + tasks,
        claim="the action teacher keeps success, the reasoning teacher keeps multimodal scores, and both together are "
        "best (Tables 6 and 8).",
        variants={name: words for name, (_, _, words) in TEACHERS.items()},
    )


def train(bench: Bench) -> dict[str, Trained]:
    """A student per choice of teachers, all from the same start on the same pruned data."""
    trainer, learning = bench.trainer, bench.config.learning
    specialist = trainer.specialist()
    generalist = trainer.generalist(specialist)
    pruned = bench.raw.model_copy(update={"shards": bench.curated.shards})
    steps = learning.generalist.steps + learning.student.steps
    students: dict[str, Trained] = {}
    for name, (action, reasoning, _) in TEACHERS.items():
        how = learning.distillation.model_copy(update={"action_teacher": action, "reasoning_teacher": reasoning})
        student = trainer.student(f"student, {name}", pruned, specialist, generalist, how)
        students[name] = Trained("dualvla", student, steps)
    return students


EXPERIMENT = Experiment("teachers", ("both",), describe, train, unseen=True)


@flow(name="experiment-teachers", flow_run_name="teachers {config.name}", persist_result=False)
def teachers(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef | Missing:
    """Both, no action teacher, no reasoning teacher, no distillation."""
    return run_experiment(EXPERIMENT, config, run)
