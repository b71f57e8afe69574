"""Distils the DualVLA student from its two teachers."""

from __future__ import annotations

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.training.config import TrainingConfig, TrainingExecution
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage
from tasks.training_job import TrainingData, training_work
from tasks.training_sources import choose_teacher


@stage("distill_student", version=3, limit="gpu")
def distill_student(
    run: RunContext,
    config: TrainingConfig,
    distillation: DistillationConfig,
    data: TrainingData,
    initial: ArtifactRef,
    action_teacher: ArtifactRef,
    reasoning_teacher: ArtifactRef,
    execution: TrainingExecution,
) -> Work:
    """The student (DualVLA Eq. 7): from the generalist ``initial``, on pruned shards and questions."""
    others = {
        "initial": initial,
        "action_teacher": choose_teacher(distillation.action_teacher, action_teacher),
        "reasoning_teacher": choose_teacher(distillation.reasoning_teacher, reasoning_teacher),
    }
    return training_work(run, "dualvla", data, others, execution, config, distillation=distillation)
