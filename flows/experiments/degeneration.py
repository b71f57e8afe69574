"""Does fine-tuning on raw mixed data cost success, and does DualVLA avoid it?"""

from __future__ import annotations

from prefect import flow

from dualvla_core.experiments.page import ExperimentText
from dualvla_core.pipeline_config import PipelineConfig
from flows.experiments.experiment import Bench, Experiment, Trained, run_experiment
from infra.manifest import ArtifactRef
from tasks.stage import Missing, RunContext


def describe(config: PipelineConfig) -> ExperimentText:
    """Its words."""
    generalist, student = config.learning.generalist.steps, config.learning.student.steps
    return ExperimentText(
        title="Action degeneration",
        question="Does success fall while a specialist learns to reason and to answer, and does DualVLA keep it?",
        claim="on SimplerEnv, fine-tuning on embodied reasoning and multimodal data lowers the specialist's success "
        "while reasoning improves; DualVLA recovers it.",
        variants={
            "specialist": "actions only",
            **{name: f"fine-tuned on raw mixed data for {steps} steps" for name, steps in lengths(config).items()},
            "dualvla": f"fine-tuned on raw mixed data for {generalist} steps, then distilled on pruned data for "
            f"{student}",
        },
    )


def lengths(config: PipelineConfig) -> dict[str, int]:
    """Steps of each fine-tuning on raw data, by variant."""
    whole = config.learning.generalist.steps
    steps = sorted({max(1, round(whole * fraction)) for fraction in config.experiment.raw_fractions})
    return {f"raw_{each}": each for each in steps}


def train(bench: Bench) -> dict[str, Trained]:
    """The specialist, fine-tunings of several lengths, and the student."""
    trainer, learning = bench.trainer, bench.config.learning
    specialist = trainer.specialist()
    raw = {
        name: trainer.generalist(specialist, learning.generalist.model_copy(update={"steps": steps}))
        for name, steps in lengths(bench.config).items()
    }
    generalist = raw.get(f"raw_{learning.generalist.steps}") or trainer.generalist(specialist)
    pruned = bench.raw.model_copy(update={"shards": bench.curated.shards})
    student = trainer.student("DualVLA", pruned, specialist, generalist, learning.distillation)
    return {
        "specialist": Trained("specialist", specialist, 0),
        **{name: Trained("generalist", raw[name], steps) for name, steps in lengths(bench.config).items()},
        "dualvla": Trained("dualvla", student, learning.generalist.steps + learning.student.steps),
    }


EXPERIMENT = Experiment("degeneration", ("dualvla", "specialist"), describe, train)


@flow(name="experiment-degeneration", flow_run_name="degeneration {config.name}", persist_result=False)
def degeneration(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef | Missing:
    """Specialist -> fine-tuned on raw mixed data for longer and longer; DualVLA on the same axes."""
    return run_experiment(EXPERIMENT, config, run)
