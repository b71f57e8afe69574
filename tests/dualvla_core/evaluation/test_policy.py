from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.evaluation.policy import ChunkedPolicy, Decision, PolicyError, PolicyObservation

NOTHING: PolicyObservation = {"images": {}, "state": None}


class Fixed:
    def __init__(self, actions: np.ndarray) -> None:
        self.actions = actions
        self.seeds: list[int] = []

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        return Decision(self.actions, f"to {instruction}")


def test_only_the_first_actions_are_committed_to() -> None:
    actions = np.arange(12, dtype=np.float32).reshape(4, 3)
    policy = Fixed(actions)
    chunked = ChunkedPolicy(policy, 2)
    chunked.reset(7)
    decision = chunked.act(NOTHING, "push")
    assert decision.actions.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert decision.reasoning == "to push"
    assert policy.seeds == [7]


@pytest.mark.parametrize("actions", [np.zeros((2, 4)), np.zeros(4)])
def test_too_few_actions_are_refused(actions: np.ndarray) -> None:
    with pytest.raises(PolicyError, match="expected 3 rows or more"):
        ChunkedPolicy(Fixed(actions), 3).act(NOTHING, "push")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_actions_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(PolicyError, match="not finite"):
        ChunkedPolicy(Fixed(np.full((3, 4), value)), 1).act(NOTHING, "push")
