from __future__ import annotations

import pytest
import torch

from dualvla_core.models.drafting import reason_from_drafts
from dualvla_core.models.dualvla import DualVLA
from tests.dualvla_core.models.conftest import CAMERAS


@pytest.fixture
def speaking(policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> DualVLA:
    """A policy that says something: without training it never stops by itself."""
    assert len(policy.reason(images(), ["Open the drawer."])[0]) > 1
    return policy


def images(seed: int = 0) -> torch.Tensor:
    return torch.rand((1, len(CAMERAS), 3, 32, 32), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_drafted_the_same_is_said(speaking: DualVLA, seed: int) -> None:
    (expected,) = speaking.reason(images(seed), ["Open the drawer."])
    for draft in ("", expected, expected[: len(expected) // 2], f"{expected} and on", "Reach the red ball.", "<eos>"):
        assert reason_from_drafts(speaking, images(seed), ["Open the drawer."], [draft]) == [expected]


def test_several_say_together_what_each_says_alone(speaking: DualVLA) -> None:
    seen, asked = [images(seed) for seed in range(4)], ["Open the drawer.", "Reach.", "Open it.", "Reach the red ball."]
    alone = [speaking.reason(image, [text])[0] for image, text in zip(seen, asked, strict=True)]
    drafts = [alone[0], "", alone[2][: len(alone[2]) // 2], "subtask: Pull the handle."]
    assert reason_from_drafts(speaking, torch.cat(seen), asked, drafts) == alone


def test_what_is_said_again_takes_one_pass(speaking: DualVLA, monkeypatch: pytest.MonkeyPatch) -> None:
    (expected,) = speaking.reason(images(), ["Reach."])
    opening = speaking.prompts.opening("Reach.", len(CAMERAS))
    (tokens,) = speaking.continue_tokens(images(), [opening], speaking.config.max_reasoning_tokens)
    encode = speaking.prompts.encode
    # what an untrained policy says is no text that would give the same tokens again
    monkeypatch.setattr(speaking.prompts, "encode", lambda text: tokens if text == "a draft" else encode(text))
    monkeypatch.delattr(DualVLA, "continue_tokens")
    assert reason_from_drafts(speaking, images(), ["Reach."], ["a draft"]) == [expected]


def test_silence_takes_one_pass(policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> None:
    first = policy.continue_tokens(images(), [policy.prompts.opening("Reach.", len(CAMERAS))], 1)[0]
    monkeypatch.setattr(DualVLA, "stops", property(lambda _: first))
    monkeypatch.delattr(DualVLA, "continue_tokens")
    assert reason_from_drafts(policy, images(), ["Reach."], [""]) == [""]
    assert reason_from_drafts(policy, images(), ["Reach."], ["Open the drawer."]) == [""]
