from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dualvla_core.evaluation.policy import PolicyError, PolicyObservation, act_together
from dualvla_core.models import DualVLA
from dualvla_core.models.policy import ModelPolicy


def observation(*cameras: str, value: int = 90) -> PolicyObservation:
    images = {camera: np.full((48, 48, 3), value, np.uint8) for camera in cameras}
    return {"images": images, "state": np.zeros(7, np.float32)}


def test_a_decision_follows_from_observation_and_seed(policy: DualVLA) -> None:
    acting = ModelPolicy(policy)
    decisions = []
    for seed in (1, 1, 2):
        acting.reset(seed)
        decisions.append(acting.act(observation("front", "wrist"), "Open the drawer.").actions)
    assert decisions[0].shape == (5, 4)
    np.testing.assert_array_equal(decisions[0], decisions[1])
    assert not np.array_equal(decisions[0], decisions[2])


def test_a_specialist_says_nothing(policy: DualVLA) -> None:
    assert ModelPolicy(policy).act(observation("front", "wrist"), "Open the drawer.").reasoning is None


def test_an_episode_opens_with_a_text_and_what_follows_may_be_silent(
    policy: DualVLA, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy.policy_type = "dualvla"
    forced: list[bool] = []
    drafts: list[str] = []

    def reason(*_: Any, must_speak: bool = False) -> list[str]:
        forced.append(must_speak)
        return ["subtask: Pull."]

    def from_drafts(*arguments: Any) -> list[str]:
        drafts.extend(arguments[-1])
        return [""] * len(arguments[-1])

    monkeypatch.setattr(policy, "reason", reason)
    monkeypatch.setattr("dualvla_core.models.inference.reason_from_drafts", from_drafts)
    acting = ModelPolicy(policy)
    for seed in (1, 2):
        acting.reset(seed)
        said = [acting.act(observation("front", "wrist"), "Open the drawer.").reasoning for _ in range(3)]
        assert said == ["subtask: Pull.", None, None]
    assert forced == [True, True]
    assert drafts == ["subtask: Pull.", ""] * 2


def test_a_blind_policy_acts_alike_whatever_there_is_to_see(policy: DualVLA) -> None:
    acting = ModelPolicy(policy)
    sighted = policy.config
    for blind in (True, False):
        policy.config = sighted.model_copy(update={"blind": blind})
        actions = []
        for value in (10, 200):
            acting.reset(3)
            actions.append(acting.act(observation("front", "wrist", value=value), "Open the drawer.").actions)
        assert np.array_equal(*actions) == blind


def test_a_missing_camera_is_named(policy: DualVLA) -> None:
    with pytest.raises(PolicyError, match="camera 'wrist', the observation has \\['front'\\]"):
        ModelPolicy(policy).act(observation("front"), "Open the drawer.")


def test_an_answer_does_not_depend_on_its_batch(policy: DualVLA) -> None:
    answering = ModelPolicy(policy)
    pictures = [np.full((48, 48, 3), level, np.uint8) for level in (10, 90, 200)]
    questions = ["Open?", "What colour is the door?", "Which of the two is it, and why?"]
    together = answering.answer([[each, pictures[0]] for each in pictures], questions, 5)
    alone = [
        answering.answer([[each, pictures[0]]], [text], 5)[0] for each, text in zip(pictures, questions, strict=True)
    ]
    assert together == alone
    assert len(together) == 3


def test_episodes_decided_for_together_go_as_they_do_alone(policy: DualVLA) -> None:
    """Each with its own noise and its own last text, whichever of the others are there."""
    policy.policy_type = "dualvla"
    asked = ["Open the drawer.", "Reach the red ball.", "What colour is the door?"]
    alone, together = ([ModelPolicy(policy) for _ in asked] for _ in range(2))
    for seed, (one, other) in enumerate(zip(alone, together, strict=True)):
        one.reset(seed)
        other.reset(seed)
    for value, rows in ((20, [0, 1, 2]), (90, [2, 0]), (200, [0, 1, 2]), (60, [1])):
        seen = [observation("front", "wrist", value=value + row) for row in rows]
        found = act_together([together[row] for row in rows], seen, [asked[row] for row in rows])
        for row, image, decision in zip(rows, seen, found, strict=True):
            expected = alone[row].act(image, asked[row])
            assert decision.reasoning == expected.reasoning
            np.testing.assert_allclose(decision.actions, expected.actions, atol=1e-5)
