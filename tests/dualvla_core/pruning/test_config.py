from __future__ import annotations

import pytest
from pydantic import ValidationError

from dualvla_core.events.config import Span
from dualvla_core.pruning.config import PruningConfig


def test_the_dual_rule_with_peaks_holds_unless_told_otherwise() -> None:
    assert PruningConfig().model_dump() == {
        "rule": "dual",
        "boundary_threshold": 0.5,
        "peak_scope": Span(seconds=0.5, fraction=0.08).model_dump(),
        "scene_label": "peaks",
        "scene_tolerance": Span(seconds=0.3, fraction=0.04).model_dump(),
        "keep_first_frame": False,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("field", "value"), [("boundary_threshold", -0.01), ("boundary_threshold", 1.01), ("seed", -1)]
)
def test_numbers_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        PruningConfig.model_validate({field: value})


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_every_score_may_be_the_threshold(threshold: float) -> None:
    assert PruningConfig(boundary_threshold=threshold).boundary_threshold == threshold


@pytest.mark.parametrize(
    "chosen",
    [
        {"rule": "dual"},
        {"rule": "scene_only"},
        {"rule": "action_only"},
        {"rule": "none"},
        {"rule": "random", "seed": 0},
        {"rule": "uniform"},
        {"scene_label": "peaks"},
        {"scene_label": "score"},
    ],
)
def test_what_is_documented_may_be_chosen(chosen: dict[str, str | int]) -> None:
    assert PruningConfig.model_validate(chosen).model_dump(include=set(chosen)) == chosen
