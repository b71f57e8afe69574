"""Asks both teachers about every training sample, once, so that any number of students can learn without them."""

from __future__ import annotations

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.params import Summary
from dualvla_core.training.config import TrainingConfig
from dualvla_core.training.plan import TrainingPlan
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage
from tasks.training_job import TrainingData
from tasks.training_sources import Source, TrainingSources, choose_teacher


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
    given: dict[str, Source] = {"shards": data.shards, "collection": data.collection}
    if distillation.action_teacher:
        given["action_teacher"] = choose_teacher(distillation.action_teacher, action_teacher)
    if multimodal is not None and distillation.reasoning_teacher:
        given["multimodal"] = multimodal
        given["reasoning_teacher"] = choose_teacher(distillation.reasoning_teacher, reasoning_teacher)
    sources = TrainingSources(given)

    def body(job: Job) -> Summary:
        import torch  # noqa: PLC0415 - an extra

        from dualvla_core.training.stage import cache_teachers  # noqa: PLC0415

        asked = TrainingConfig(augmentation=training.augmentation, multimodal_every=2 if "multimodal" in given else 0)
        plan = TrainingPlan(policy="dualvla", training=asked, distillation=distillation, inputs=sources.open(job.store))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cache_teachers(plan, job.output, device, job.progress)

    return Work(
        params=distillation.cache_terms(training.augmentation),
        inputs=sources.artifacts,
        facts=sources.facts,
        body=body,
        provenance={"teachers": sources.names},
    )
