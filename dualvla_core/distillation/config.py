"""What dual-teacher distillation can be told."""

from __future__ import annotations

from pydantic import Field

from dualvla_core.params import Params


class DistillationConfig(Params):
    """Distillation of the student from its two teachers (DualVLA Eq. 5 to 7)."""

    weight: float = Field(0.15, ge=0, description="λ of Eq. 7: weight of the distillation loss beside the hard labels.")
    temperature: float = Field(
        2.0, gt=0, description="T of Eq. 5 and 6. The paper prints T² but no value; 2 is the usual mild one."
    )
    action_teacher: bool = Field(
        True, description="Whether robot batches are distilled (the ablation leaves them out)."
    )
    reasoning_teacher: bool = Field(
        True, description="Whether multimodal batches are distilled (the ablation leaves them out)."
    )
