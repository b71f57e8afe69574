from __future__ import annotations

import math

import pytest
import torch

from dualvla_core.models.action_expert import HeadSizes
from dualvla_core.models.config import FlowHeadConfig
from dualvla_core.models.flow_expert import Condition, FlowExpert, integrate, time_embedding


@pytest.fixture
def expert() -> FlowExpert:
    torch.manual_seed(0)
    return FlowExpert(
        FlowHeadConfig(hidden=16, layers=2, heads=2),
        HeadSizes(backbone_width=6, state_size=3, action_size=2, action_chunk=4, action_queries=5),
    ).eval()


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "latents": torch.randn(2, 5, 6),
        "visual": torch.randn(2, 7, 6),
        "state": torch.randn(2, 3),
        "noisy": torch.randn(2, 4, 2),
        "time": torch.tensor([0.2, 0.7]),
    }


def velocity(expert: FlowExpert, given: dict[str, torch.Tensor]) -> torch.Tensor:
    condition = expert.condition(given["latents"], given["visual"], given["state"])
    result: torch.Tensor = expert(condition, given["noisy"], given["time"])
    return result


@pytest.mark.parametrize("changed", ["latents", "visual", "state", "noisy", "time"])
def test_the_velocity_depends_on_every_input_of_its_own_sample(expert: FlowExpert, changed: str) -> None:
    given = inputs()
    before = velocity(expert, given)
    given[changed][0] += 0.25
    after = velocity(expert, given)
    assert not torch.allclose(after[0], before[0], atol=1e-4)
    torch.testing.assert_close(after[1], before[1])


def test_attention_is_causal_between_blocks(expert: FlowExpert) -> None:
    """Image tokens do not see the latents, whose own keys change in every layer."""
    given = inputs()
    before = expert.condition(given["latents"], given["visual"], given["state"])
    after = expert.condition(given["latents"] + 1, given["visual"], given["state"])
    for (keys, values), (other_keys, other_values) in zip(before.layers, after.layers, strict=True):
        torch.testing.assert_close(keys[:, :, :7], other_keys[:, :, :7])
        torch.testing.assert_close(values[:, :, :7], other_values[:, :, :7])
        assert not torch.allclose(keys[:, :, 7:12], other_keys[:, :, 7:12], atol=1e-3)


def test_every_action_sees_the_whole_chunk(expert: FlowExpert) -> None:
    given = inputs()
    before = velocity(expert, given)
    given["noisy"][0, -1] += 1
    assert not torch.allclose(velocity(expert, given)[0, 0], before[0, 0], atol=1e-5)


def test_draws_repeat_the_condition_as_tensors_do(expert: FlowExpert) -> None:
    given = inputs()
    condition = expert.condition(given["latents"], given["visual"], given["state"])
    noisy, time = torch.cat([given["noisy"], given["noisy"] + 1]), torch.tensor([0.2, 0.7, 0.4, 0.1])
    drawn = expert(condition.repeated(2), noisy, time)
    torch.testing.assert_close(drawn[:2], expert(condition, noisy[:2], time[:2]))
    torch.testing.assert_close(drawn[2:], expert(condition, noisy[2:], time[2:]))


def test_without_images_or_state_their_tokens_are_absent() -> None:
    bare = FlowExpert(
        FlowHeadConfig(hidden=16, layers=1, heads=2, visual_features=False),
        HeadSizes(backbone_width=6, state_size=None, action_size=2, action_chunk=4, action_queries=5),
    )
    given = inputs()
    condition = bare.condition(given["latents"], given["visual"], given["state"])
    assert condition.layers[0][0].shape == (2, 2, 5, 8)


def test_time_embedding_worked_by_hand() -> None:
    embedded = time_embedding(torch.tensor([0.0, 0.5]), 4)
    torch.testing.assert_close(embedded[0], torch.tensor([0.0, 0.0, 1.0, 1.0]))
    expected = [math.sin(50), math.sin(5), math.cos(50), math.cos(5)]
    torch.testing.assert_close(embedded[1], torch.tensor(expected), atol=1e-5, rtol=0)


def test_euler_steps_sum_the_velocity(expert: FlowExpert, monkeypatch: pytest.MonkeyPatch) -> None:
    """v = 4 t at t = 0, 1/4, 1/2, 3/4: from 1 the actions end at 1 + (0 + 1 + 2 + 3) / 4."""

    def linear(condition: Condition, noisy: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        return 4 * time[:, None, None].expand_as(noisy)

    monkeypatch.setattr(expert, "forward", linear)
    assert integrate(expert, Condition(()), torch.ones(2, 4, 2), 4).eq(2.5).all()
