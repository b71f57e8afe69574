from __future__ import annotations

from typing import Any

import pytest
import torch

from dualvla_core.errors import ArtifactError
from dualvla_core.models.normalisation import Normaliser, statistics_of

STATISTICS: dict[str, Any] = {
    # a plain dimension, one that never varies, a gripper
    "q01": [-1.0, 3.0, 0.0],
    "q99": [3.0, 3.0, 1.0],
    "min": [-2.0, 3.0, 0.0],
    "max": [4.0, 3.0, 1.0],
    "mask": [True, True, False],
}


def test_values_worked_by_hand() -> None:
    raw = torch.tensor([[-1.0, 3.0, 0.25], [3.0, 3.0, 1.0], [2.0, 3.0, 0.0], [9.0, 7.0, 0.5]])
    expected = torch.tensor([[-1.0, 0.0, 0.25], [1.0, 0.0, 1.0], [0.5, 0.0, 0.0], [1.0, 0.0, 0.5]])
    torch.testing.assert_close(Normaliser({"action": STATISTICS}, "action").normalise(raw), expected)


def test_back_to_raw_units() -> None:
    normalised = torch.tensor([[0.5, 0.3, 0.25], [-7.0, 0.0, 1.5]])
    expected = torch.tensor([[2.0, 3.0, 0.25], [-1.0, 3.0, 1.0]])
    torch.testing.assert_close(Normaliser({"action": STATISTICS}, "action").unnormalise(normalised), expected)


def test_it_knows_its_size() -> None:
    assert Normaliser({"action": STATISTICS}, "action").size == 3


def test_a_missing_signal_is_told_with_its_remedy() -> None:
    with pytest.raises(ArtifactError, match="no state; choose demonstrations with one, or set use_state to false"):
        Normaliser({"action": STATISTICS}, "state")
    with pytest.raises(ArtifactError, match=r"no action; choose demonstrations with one\."):
        Normaliser({"state": STATISTICS}, "action")


def test_a_dimension_without_finite_value_is_refused() -> None:
    with pytest.raises(ArtifactError, match="no finite value"):
        Normaliser({"state": STATISTICS | {"q01": [None, 3.0, 0.0]}}, "state")


def test_statistics_of_another_robot_are_refused() -> None:
    assert statistics_of({"a": STATISTICS}, "a") is STATISTICS
    with pytest.raises(ArtifactError, match=r"describe \['a'\], not 'b'"):
        statistics_of({"a": STATISTICS}, "b")
