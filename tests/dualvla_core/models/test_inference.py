from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from dualvla_core.models import DualVLA
from dualvla_core.models.inference import ChunkEnsemble, InferenceConfig, Request, Session, decide_together
from dualvla_core.models.policy import ModelPolicy
from tests.dualvla_core.models.test_policy import observation

SEEN = observation("front", "wrist")


@pytest.fixture
def asked(policy: DualVLA, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[str], bool]]:
    """A generalist that says its instruction back, and for whom and how it was asked to."""
    calls: list[tuple[list[str], bool]] = []

    def reason(images: torch.Tensor, instruction: list[str], *, must_speak: bool = False) -> list[str]:
        assert len(images) == len(instruction)
        calls.append((instruction, must_speak))
        return [f"subtask: {text}" for text in instruction]

    policy.policy_type = "generalist"
    monkeypatch.setattr(policy, "reason", reason)
    return calls


def test_text_is_generated_now_and_then_and_kept_between(policy: DualVLA, asked: list[Any]) -> None:
    acting = ModelPolicy(policy, InferenceConfig(reason_every=3))
    decisions = [acting.act(SEEN, f"Step {step}.") for step in range(5)]
    assert [each.reasoning for each in decisions] == ["subtask: Step 0."] * 3 + ["subtask: Step 3."] * 2
    assert [each.reasoning_tokens > 0 for each in decisions] == [True, False, False, True, False]
    assert all(each.act_s > 0 for each in decisions)
    acting.reset(0)
    assert acting.act(SEEN, "Again.").reasoning == "subtask: Again."


def test_a_text_kept_conditions_the_actions(policy: DualVLA, asked: list[Any]) -> None:
    kept = ModelPolicy(policy, InferenceConfig(reason_every=2))
    kept.act(SEEN, "Open the drawer.")
    kept._session.generator.manual_seed(0)
    silent = ModelPolicy(policy, InferenceConfig(reasoning="never"))
    assert silent.act(SEEN, "Reach.").reasoning is None
    silent.reset(0)
    assert not np.array_equal(kept.act(SEEN, "Reach.").actions, silent.act(SEEN, "Reach.").actions)


def test_robots_decide_together_as_they_do_alone(policy: DualVLA, asked: list[Any]) -> None:
    configs = [InferenceConfig(), InferenceConfig(reason_every=2), InferenceConfig(reasoning="always")]
    others = [observation("front", "wrist", value=value) for value in (20, 120, 220)]

    def requests() -> list[Request]:
        return [
            Request(Session(config, seed), seen, f"Robot {seed}.")
            for seed, (config, seen) in enumerate(zip(configs, others, strict=True))
        ]

    together = requests()
    both = [decide_together(policy, together), decide_together(policy, together)]
    assert asked == [(["Robot 0.", "Robot 1.", "Robot 2."], True), (["Robot 0."], False), (["Robot 2."], True)]
    for index, request in enumerate(requests()):
        for batch in both:
            (alone,) = decide_together(policy, [request])
            np.testing.assert_allclose(batch[index].actions, alone.actions, atol=1e-5)
            assert batch[index].reasoning == alone.reasoning


def test_drafts_change_what_a_decision_costs_and_not_what_it_is(policy: DualVLA) -> None:
    policy.policy_type = "generalist"
    drafting, plain = ModelPolicy(policy, InferenceConfig(drafted=True)), ModelPolicy(policy, InferenceConfig())
    for value in (20, 90, 200):
        seen = observation("front", "wrist", value=value)
        one, other = drafting.act(seen, "Open the drawer."), plain.act(seen, "Open the drawer.")
        assert one.reasoning == other.reasoning
        np.testing.assert_array_equal(one.actions, other.actions)


def test_a_specialist_is_never_asked_to_speak(policy: DualVLA, asked: list[Any]) -> None:
    policy.policy_type = "specialist"
    assert ModelPolicy(policy, InferenceConfig(reasoning="always")).act(SEEN, "Go.").reasoning is None
    assert asked == []


def test_a_silent_policy_generates_no_text_and_a_forced_one_some(policy: DualVLA) -> None:
    head: Any = policy.backbone.get_output_embeddings()
    query = policy.prompts.queries[0]
    with torch.no_grad():  # whatever it sees, the first query is likeliest
        head.weight[query] = 100 * head.weight[query].sign()
        head.register_forward_hook(lambda _, __, logits: logits.index_fill(-1, torch.tensor([query]), 1e4))
    images = torch.rand(1, 2, 3, 32, 32)
    assert policy.reason(images, ["Go."]) == [""]
    assert len(policy.tokenizer.encode(policy.reason(images, ["Go."], must_speak=True)[0])) >= 0
    generated: list[int] = []
    policy.backbone.model.register_forward_hook(lambda *_: generated.append(1))
    policy.reason(images, ["Go."])
    silent, generated[:] = len(generated), []
    policy.reason(images, ["Go."], must_speak=True)
    assert (silent, len(generated)) == (1, 2)


def test_an_ensemble_weighs_the_oldest_prediction_most() -> None:
    """ACT: weights exp(-m i), i = 0 for the oldest of the predictions of one step."""
    ensemble = ChunkEnsemble(decay=0.5, execute=2)
    first, second, third = (np.full((4, 1), value, np.float32) for value in (0.0, 1.0, 4.0))
    assert ensemble.add(first).tolist() == first.tolist()
    share = math.exp(-0.5)
    averaged = ensemble.add(second)[:, 0]
    assert averaged.tolist() == pytest.approx([share / (1 + share)] * 2 + [1, 1])
    averaged = ensemble.add(third)[:, 0]  # the first chunk is used up
    assert averaged.tolist() == pytest.approx([(1 + 4 * share) / (1 + share)] * 2 + [4, 4])
