"""Trains the specialist: actions from images, instruction and state alone."""

from __future__ import annotations

from dualvla_core.models.config import ModelConfig
from dualvla_core.training.config import TrainingConfig, TrainingExecution
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage
from tasks.training_job import TrainingData, training_work


@stage("train_specialist", version=4, limit="gpu")
def train_specialist(
    run: RunContext,
    config: TrainingConfig,
    model: ModelConfig,
    data: TrainingData,
    statistics: ArtifactRef,
    execution: TrainingExecution,
) -> Work:
    """A policy that acts without a word (DualVLA Eq. 2); the action teacher.

    It reads no reasoning, so its shards are best the unpruned ones: no choice of pruning then trains it anew. The
    vocabulary is made here, for every later policy, of the reasoning in the shards and of the multimodal questions.
    """
    return training_work(run, "specialist", data, {"statistics": statistics}, execution, config, model=model)
