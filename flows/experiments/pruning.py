"""Does it matter which frames keep their reasoning?"""

from __future__ import annotations

from typing import get_args

from prefect import flow

from dualvla_core.experiments.page import ExperimentText
from dualvla_core.pipeline_config import PipelineConfig
from dualvla_core.pruning.config import Rule
from flows.experiments.experiment import Bench, Experiment, Trained, run_experiment
from flows.train import pruned_by
from infra.manifest import ArtifactRef
from tasks.stage import Missing, RunContext

RULES: dict[Rule, str] = {
    "dual": "event boundary and kinematic change",
    "none": "all reasoning stays",
    "random": "as many frames per trajectory as dual, drawn at random",
    "uniform": "as many frames per trajectory as dual, evenly spaced",
    "scene_only": "event boundaries alone",
    "action_only": "kinematic changes alone",
}
assert set(RULES) == set(get_args(Rule))


def describe(_config: PipelineConfig) -> ExperimentText:
    """Its words."""
    return ExperimentText(
        title="Pruning rules",
        question="Students that differ only in which frames keep their reasoning: who acts and answers best?",
        claim="dual-layer pruning beats random pruning and either layer alone (Table 7), and makes inference about "
        "20 % faster.",
        variants=dict(RULES),
    )


def train(bench: Bench) -> dict[str, Trained] | Missing:
    """A student per rule, from the same teachers."""
    trainer, learning = bench.trainer, bench.config.learning
    specialist = trainer.specialist()
    generalist = trainer.generalist(specialist)
    steps = learning.generalist.steps + learning.student.steps
    students: dict[str, Trained] = {}
    for rule in RULES:
        kept = bench.config.pruning.model_copy(update={"rule": rule})
        pruned = pruned_by(bench.run, bench.config, bench.curated, kept)
        if isinstance(pruned, Missing):
            return pruned
        student = trainer.student(f"student, {rule}", pruned, specialist, generalist, learning.distillation)
        students[rule] = Trained("dualvla", student, steps)
    return students


EXPERIMENT = Experiment("pruning", ("dual",), describe, train)


@flow(name="experiment-pruning", flow_run_name="pruning {config.name}", persist_result=False)
def pruning(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef | Missing:
    """None, random at the same ratio, uniform, scene only, action only, dual."""
    return run_experiment(EXPERIMENT, config, run)
