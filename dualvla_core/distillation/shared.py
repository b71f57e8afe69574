"""Teachers as adapters over the student's own frozen backbone: what is the same in both lies in memory once."""

from __future__ import annotations

from dualvla_core.errors import ConfigError
from dualvla_core.models.dualvla import DualVLA


def share_backbone(role: str, teacher: DualVLA, student: DualVLA) -> None:
    """Put the student's frozen weights of the backbone in the place of the teacher's copies of them.

    What trains in the student stays the teacher's own: adapters, rows of new tokens, the gate of experts, and whatever
    else of the backbone is not frozen; so does the action head. The numbers do not change, since only equal weights are
    shared.

    Raises `ConfigError` for a student whose language model trains as a whole, and for a teacher over another backbone.
    """
    if student.config.adaptation.language == "full":
        raise ConfigError(
            "teachers = shared was asked for, but the language model trains as a whole, so that no backbone stays the "
            "same; set model.adaptation.language to lora or experts, or teachers = online."
        )
    own = dict(teacher.backbone.named_parameters(remove_duplicate=False))
    for name, weight in student.backbone.named_parameters(remove_duplicate=False):
        if weight.requires_grad:
            continue
        if name not in own or not own[name].equal(weight.to(own[name])):
            raise ConfigError(
                f"The {role} has another backbone than the student ({name} differs), so that it cannot be shared; set "
                "teachers = online, or train both from the same frozen backbone."
            )
        module, _, leaf = name.rpartition(".")
        setattr(teacher.backbone.get_submodule(module), leaf, weight)
