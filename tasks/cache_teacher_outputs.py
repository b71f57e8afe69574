"""Asks both teachers about every training sample, once, so that any number of students can learn without them."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.params import Summary
from dualvla_core.training.config import TrainingConfig
from dualvla_core.training.plan import TrainingInputs, TrainingPlan
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage
from tasks.training_job import TrainingData


# raise the version with the wording of models/prompts.py as well: teachers answer to the tokens it makes
@stage("cache_teacher_outputs", version=1, limit="gpu")
def cache_teacher_outputs(
    _run: RunContext,
    training: TrainingConfig,
    distillation: DistillationConfig,
    data: TrainingData,
    action_teacher: ArtifactRef,
    reasoning_teacher: ArtifactRef,
) -> Work:
    """Velocities and sparse text distributions of the teachers, for students of ``training``'s augmentation.

    Of ``training`` nothing else counts, so that students with other steps, batches or learning rates share them.
    """
    multimodal = data.multimodal if training.multimodal_every else None
    inputs: dict[str, ArtifactRef | tuple[ArtifactRef, ...]] = {"shards": data.shards, "collection": data.collection}
    if distillation.action_teacher:
        inputs["action_teacher"] = action_teacher
    if multimodal is not None and distillation.reasoning_teacher:
        inputs |= {"multimodal": multimodal, "reasoning_teacher": reasoning_teacher}

    def body(job: Job) -> Summary:
        import torch  # noqa: PLC0415 - an extra

        from dualvla_core.training.stage import cache_teachers  # noqa: PLC0415

        folders: dict[str, Path | tuple[Path, ...]] = {
            role: job.store.folder(refs) if isinstance(refs, ArtifactRef) else tuple(map(job.store.folder, refs))
            for role, refs in inputs.items()
        }
        asked = TrainingConfig(augmentation=training.augmentation, multimodal_every=2 if "multimodal" in inputs else 0)
        plan = TrainingPlan(
            policy="dualvla",
            training=asked,
            distillation=distillation,
            inputs=TrainingInputs.model_validate(folders),
        )
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cache_teachers(plan, job.output, device, job.progress)

    return Work(params=distillation.cache_terms(training.augmentation), inputs=inputs, body=body)
