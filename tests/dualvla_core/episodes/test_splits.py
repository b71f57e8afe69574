from __future__ import annotations

import pytest

from dualvla_core.episodes.splits import initial_condition, split_of


def test_an_initial_condition_is_named_by_task_and_seed() -> None:
    assert initial_condition("drawer-open", 1007) == "drawer-open/1007"


@pytest.mark.parametrize(
    ("condition", "split"),
    [
        ("reach/1000", "held_out"),
        ("reach/1001", "train"),
        ("drawer-open/1007", "train"),
        ("door-open/1003", "train"),
        ("window-open/50000", "train"),
        ("reach/1006", "train"),
        ("button-press-topdown/1017", "held_out"),
        ("drawer-close/1002", "train"),
        ("button-press-topdown/1004", "train"),
    ],
)
def test_splits_never_change(condition: str, split: str) -> None:
    assert split_of(condition, 0.2) == split


def test_a_larger_fraction_only_adds_to_what_is_held_out() -> None:
    conditions = [initial_condition("reach", seed) for seed in range(2000)]
    held_out = [{c for c in conditions if split_of(c, fraction) == "held_out"} for fraction in (0, 0.1, 0.2, 1)]
    assert held_out[0] == set()
    assert held_out[1] < held_out[2]
    assert held_out[3] == set(conditions)
    assert len(held_out[2]) == pytest.approx(400, abs=60)
