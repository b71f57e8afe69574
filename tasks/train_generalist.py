"""Trains the generalist: the specialist, taught to reason about every frame and to answer questions."""

from __future__ import annotations

from dualvla_core.training.config import TrainingConfig, TrainingExecution
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage
from tasks.training_job import TrainingData, training_work


@stage("train_generalist", version=3, limit="gpu")
def train_generalist(
    run: RunContext,
    config: TrainingConfig,
    data: TrainingData,
    initial: ArtifactRef,
    execution: TrainingExecution,
) -> Work:
    """A reasoning policy (DualVLA Eq. 3), from the specialist ``initial`` on unpruned shards and questions.

    Where the student starts, and the reasoning teacher. Its size, vocabulary and normalisation are the specialist's.
    """
    return training_work(run, "generalist", data, {"initial": initial}, execution, config)
