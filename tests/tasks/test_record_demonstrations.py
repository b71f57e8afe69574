from __future__ import annotations

from tasks.record_demonstrations import shortfall


def test_an_expert_that_often_fails_is_told_of() -> None:
    said = shortfall("push-back", {"episodes": 5, "attempts": 10}, 200)
    assert said is not None
    assert said.startswith("The expert solved 5 of 10 attempts at push-back within 200 steps; raise record.max_steps")


def test_an_expert_that_mostly_succeeds_is_not() -> None:
    assert shortfall("sweep-into", {"episodes": 6, "attempts": 8}, 200) is None
    assert shortfall("sweep-into", {"episodes": 5, "attempts": 8}, 200) is not None
