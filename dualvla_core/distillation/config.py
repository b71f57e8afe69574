"""What dual-teacher distillation can be told."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from dualvla_core.models.config import AugmentationConfig
from dualvla_core.params import Params

TeacherName: TypeAlias = Annotated[str, Field(min_length=1)]


class TeacherCacheConfig(Params):
    """What is kept of teachers that are asked once, before the student trains."""

    tokens: int = Field(48, ge=0, description="Likeliest tokens kept with their probabilities (0 = all is sampled).")
    samples: int = Field(16, ge=1, description="Draws among all other tokens, which share the mass that is left.")
    draws: int = Field(4, ge=1, description="Noise draws of a frame at which the velocity is kept.")
    seed: int = Field(0, ge=0, description="Of augmentation, noise and sampled tokens, which a cache fixes.")


class DistillationConfig(Params):
    """Distillation of the student from its two teachers (DualVLA Eq. 5 to 7)."""

    weight: float = Field(0.15, ge=0, description="λ of Eq. 7: weight of the distillation loss beside the hard labels.")
    temperature: float = Field(
        2.0, gt=0, description="T of Eq. 5 and 6. The paper prints T² but no value; 2 is the usual mild one."
    )
    action_teacher: bool | TeacherName = Field(
        True,
        description="Who teaches robot batches: true = the specialist, false = nobody (the ablation), or the folder or "
        "hub name (owner/name, owner/name@revision) of a checkpoint.",
    )
    reasoning_teacher: bool | TeacherName = Field(
        True,
        description="Who teaches multimodal batches: true = the generalist, false = nobody, or a checkpoint.",
    )
    teachers: Literal["online", "shared", "cached"] = Field(
        "online",
        description="online = asked about every batch; shared = the same, over the frozen backbone of an adapter-tuned "
        "student; cached = once about every sample, before the student trains.",
    )
    cache: TeacherCacheConfig = Field(TeacherCacheConfig(), description="What is kept of cached teachers.")

    def keyed(self) -> dict[str, Any]:
        """What of it enters keys: a teacher that is named counts by its content, which is keyed beside this."""
        asked = {"action_teacher": bool(self.action_teacher), "reasoning_teacher": bool(self.reasoning_teacher)}
        return self.model_dump(mode="json") | asked

    def cache_terms(self, augmentation: AugmentationConfig | None) -> dict[str, Any]:
        """What cached teachers depend on besides themselves and the data: it must be the same when they are used."""
        return {
            "temperature": self.temperature,
            "cache": self.cache.model_dump(mode="json"),
            "augmentation": None if augmentation is None else augmentation.model_dump(mode="json"),
        }
