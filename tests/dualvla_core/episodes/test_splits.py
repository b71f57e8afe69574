from __future__ import annotations

import pytest

from dualvla_core.episodes.splits import initial_condition, splits_of


def test_an_initial_condition_is_named_by_task_and_seed() -> None:
    assert initial_condition("drawer-open", 1007) == "drawer-open/1007"


def test_splits_never_change() -> None:
    expected = {
        "reach/1000": "held_out",
        "reach/1001": "train",
        "drawer-open/1007": "train",
        "door-open/1003": "train",
        "window-open/50000": "train",
        "reach/1006": "train",
        "button-press-topdown/1017": "held_out",
        "drawer-close/1002": "train",
        "button-press-topdown/1004": "train",
    }
    assert splits_of(expected, 0.2) == expected


def test_a_larger_fraction_only_adds_to_what_is_held_out() -> None:
    conditions = [initial_condition("reach", seed) for seed in range(2000)]
    held_out = [
        {c for c, split in splits_of(conditions, fraction).items() if split == "held_out"}
        for fraction in (0, 0.1, 0.2, 0.999)
    ]
    assert held_out[0] == set()
    assert held_out[1] < held_out[2] < held_out[3]
    assert len(held_out[2]) == pytest.approx(400, abs=60)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_of_few_conditions_each_side_gets_one(fraction: float) -> None:
    conditions = ["drawer-open/1007", "reach/1001", "door-open/1003"]
    found = splits_of(conditions, fraction)
    assert set(found) == set(conditions)
    assert set(found.values()) == {"train", "held_out"}
    assert splits_of(reversed(conditions), fraction) == found


def test_nothing_is_held_out_of_a_single_condition_or_where_none_is_asked_for() -> None:
    assert splits_of(["reach/1000"], 0.2) == {"reach/1000": "train"}
    assert set(splits_of(["drawer-open/1007", "reach/1000"], 0).values()) == {"train"}
