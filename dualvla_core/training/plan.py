"""What a training is told, in a form that travels to its processes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.models.config import ModelConfig
from dualvla_core.params import Params
from dualvla_core.training.config import TrainingConfig


class TrainingInputs(Params):
    """The folders a training reads."""

    shards: tuple[Path, ...] = Field(description="Robot shards of one embodiment.")
    collection: Path = Field(description="Which of their episodes are for training.")
    multimodal: Path | None = Field(None, description="The multimodal shard; without steps for it, its vocabulary.")
    statistics: Path | None = Field(None, description="Normalisation, for a policy that starts afresh.")
    initial: Path | None = Field(None, description="The policy to start from; none = a fresh one.")
    action_teacher: Path | None = Field(None, description="The specialist that teaches a student.")
    reasoning_teacher: Path | None = Field(None, description="The generalist that teaches a student.")
    teacher_cache: Path | None = Field(None, description="What both said beforehand, where teachers are cached.")


class TrainingPlan(Params):
    """Everything a training is told."""

    policy: PolicyType = Field(description="What the policy is trained to be.")
    training: TrainingConfig = Field(description="Steps, batches, optimizer.")
    model: ModelConfig | None = Field(None, description="Sizes of a policy that starts afresh.")
    distillation: DistillationConfig | None = Field(None, description="Of a student.")
    inputs: TrainingInputs = Field(description="The folders to read.")
