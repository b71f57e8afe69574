from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from dualvla_core.evaluation.policy import Decision, PolicyError, PolicyObservation, act_together, committed

SEEN: list[PolicyObservation] = [{"images": {}, "state": np.full(1, place, np.float32)} for place in range(3)]


class Alone:
    """Says what it was asked; its actions are where it is."""

    def reset(self, seed: int) -> None:
        """Nothing to forget."""

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:
        assert observation["state"] is not None
        return Decision(observation["state"][None], f"to {instruction}")


class Together(Alone):
    """The same, for all at once."""

    asked: list[int] = []  # noqa: RUF012 - what all of them were asked

    @staticmethod
    def act_together(
        policies: Sequence[Together], observations: Sequence[PolicyObservation], instructions: Sequence[str]
    ) -> list[Decision]:
        Together.asked.append(len(policies))
        return [Alone().act(seen, said) for seen, said in zip(observations, instructions, strict=True)]


@pytest.mark.parametrize(("kind", "passes"), [(Alone, []), (Together, [3])])
def test_everyone_gets_the_decision_of_their_own_moment(kind: type[Alone], passes: list[int]) -> None:
    Together.asked.clear()
    decisions = act_together([kind() for _ in SEEN], SEEN, ["push", "pull", "lift"])
    assert [float(each.actions[0, 0]) for each in decisions] == [0, 1, 2]
    assert [each.reasoning for each in decisions] == ["to push", "to pull", "to lift"]
    assert Together.asked == passes


def test_only_the_first_actions_are_committed_to() -> None:
    decision = committed(Decision(np.arange(12, dtype=np.float32).reshape(4, 3), "push"), 2)
    assert decision.actions.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert decision.reasoning == "push"


@pytest.mark.parametrize("actions", [np.zeros((2, 4)), np.zeros(4)])
def test_too_few_actions_are_refused(actions: np.ndarray) -> None:
    with pytest.raises(PolicyError, match="expected 3 rows or more"):
        committed(Decision(actions), 3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_actions_that_are_not_finite_are_refused(value: float) -> None:
    with pytest.raises(PolicyError, match="not finite"):
        committed(Decision(np.full((3, 4), value)), 1)
