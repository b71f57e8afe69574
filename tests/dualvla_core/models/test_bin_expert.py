from __future__ import annotations

import pytest
import torch

from dualvla_core.errors import ArtifactError
from dualvla_core.models.action_expert import HeadSizes
from dualvla_core.models.bin_expert import BinExpert, bins_of, centres
from dualvla_core.models.config import DiscreteHeadConfig
from dualvla_core.models.normalisation import Normaliser
from tests.dualvla_core.models.conftest import signal


def test_bins_cut_the_range_into_equal_parts() -> None:
    actions = torch.tensor([-7.0, -1.0, -0.51, -0.5, -0.01, 0.0, 0.49, 0.5, 1.0, 7.0])
    assert bins_of(actions, 4).tolist() == [0, 0, 0, 1, 1, 2, 2, 3, 3, 3]
    assert centres(torch.arange(4), 4).tolist() == [-0.75, -0.25, 0.25, 0.75]


def test_a_bin_is_half_its_width_away_at_most() -> None:
    actions = torch.linspace(-1, 1, 1001)
    assert (centres(bins_of(actions, 256), 256) - actions).abs().max() <= 1 / 256 + 1e-6


@pytest.fixture
def expert() -> BinExpert:
    torch.manual_seed(0)
    config = DiscreteHeadConfig(hidden=16, layers=2, heads=2, bins=8)
    sizes = HeadSizes(backbone_width=6, state_size=3, action_size=2, action_chunk=4, action_queries=5)
    return BinExpert(config, sizes).eval()


def inputs() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"latents": torch.randn(2, 5, 6), "visual": torch.randn(2, 7, 6), "state": torch.randn(2, 3)}


@pytest.mark.parametrize("changed", ["latents", "visual", "state"])
def test_logits_depend_on_every_input_of_their_own_sample(expert: BinExpert, changed: str) -> None:
    given = inputs()
    before = expert(expert.condition(**given))
    given[changed][0] += 0.25
    after = expert(expert.condition(**given))
    assert before.shape == (2, 4, 2, 8)
    assert not torch.allclose(after[0], before[0], atol=1e-4)
    torch.testing.assert_close(after[1], before[1])


def test_the_decision_is_the_likeliest_bin(expert: BinExpert) -> None:
    torch.nn.init.zeros_(expert.out[1].weight)
    bias = torch.zeros(2, 8)
    bias[0, 1], bias[1, 6] = 3, 4
    expert.out[1].bias.data = bias.flatten()
    decided = expert.decide(expert.condition(**inputs()), torch.randn(2, 4, 2))
    assert decided[..., 0].unique().tolist() == [centres(torch.tensor(1), 8).item()]
    assert decided[..., 1].unique().tolist() == [centres(torch.tensor(6), 8).item()]


def test_it_learns_actions(expert: BinExpert) -> None:
    wanted = torch.linspace(-0.9, 0.9, 8).view(1, 4, 2).expand(2, -1, -1)
    optimiser = torch.optim.AdamW(expert.parameters(), 1e-2)
    for _ in range(40):
        logits = expert(expert.condition(**inputs()))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 2), bins_of(wanted, 8).flatten())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    decided = expert.decide(expert.condition(**inputs()), torch.zeros(2, 4, 2))
    assert (decided - wanted).abs().max() <= 1 / 8 + 1e-6


def test_what_bins_would_clip_is_refused() -> None:
    numbers = signal(-2, 2, 4)
    Normaliser({"action": numbers | {"min": [-2, -2, -2, 0], "max": [2, 2, 2, 1]}}, "action").check_unit_range()
    with pytest.raises(ArtifactError, match="Dimension 3 of the action is not normalised and goes from -2 to 2"):
        Normaliser({"action": numbers}, "action").check_unit_range()
