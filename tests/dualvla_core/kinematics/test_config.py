from __future__ import annotations

import pytest
from pydantic import ValidationError

from dualvla_core.kinematics import KinematicsConfig


def test_equation_4_as_printed_holds_unless_told_otherwise() -> None:
    assert KinematicsConfig().model_dump() == {
        "standardise": False,
        "gripper_threshold": 0.5,
        "gripper_hysteresis": 0.0,
        "flip_both_sides": False,
    }


@pytest.mark.parametrize(
    ("field", "allowed", "refused"),
    [
        ("gripper_threshold", (0.01, 0.99), (0.0, 1.0)),
        ("gripper_hysteresis", (0.0, 0.49), (-0.01, 0.5)),
    ],
)
def test_thresholds_lie_between_closed_and_open(
    field: str, allowed: tuple[float, ...], refused: tuple[float, ...]
) -> None:
    for value in allowed:
        assert getattr(KinematicsConfig.model_validate({field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError, match=field):
            KinematicsConfig.model_validate({field: value})
