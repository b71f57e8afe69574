from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from dualvla_core.events.config import DDMNetworkConfig  # noqa: E402
from dualvla_core.events.ddm_net import (  # noqa: E402
    DDMNet,
    LevelProjection,
    Logits,
    MapToSequence,
    TemporalBranches,
    boundary_loss,
    difference_maps,
    sine_positions,
)
from tests.dualvla_core.events.conftest import SMALL_NETWORK  # noqa: E402

CHANNELS = (6, 16, 10)
PUBLISHED = DDMNetworkConfig(width=512, map_channels=(64, 128, 256, 512), layers=6, heads=8, feed_forward=2048)


def _levels(batch: int, frames: int = SMALL_NETWORK.frames) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(batch, frames, size) for size in CHANNELS]


def _network() -> DDMNet:
    torch.manual_seed(0)
    return DDMNet(SMALL_NETWORK, CHANNELS).eval()


def test_difference_maps_by_hand() -> None:
    sequence = torch.tensor([[[[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]]]])
    expected = [[0, -5, -1], [-5, 0, -math.sqrt(18)], [-1, -math.sqrt(18), 0]]
    assert torch.allclose(difference_maps(sequence), torch.tensor([[expected]]))


def test_only_the_rows_frame_learns_from_a_difference() -> None:
    sequence = torch.tensor([[[[0.0], [2.0]]]], requires_grad=True)
    difference_maps(sequence)[0, 0, 0, 1].backward()
    # d(-|x0 - x1|)/dx0 = 1 for x0 < x1; the column's frame is held still
    assert sequence.grad is not None
    assert sequence.grad.flatten().tolist() == [1, 0]


def test_equal_frames_have_a_finite_gradient() -> None:
    sequence = torch.zeros(1, 1, 3, 4, requires_grad=True)
    difference_maps(sequence).sum().backward()
    assert sequence.grad is not None
    assert torch.isfinite(sequence.grad).all()


def test_a_level_of_the_common_width_is_taken_as_it_is() -> None:
    level = torch.randn(1, 3, 16)
    assert torch.equal(LevelProjection(16, 16)(level), level)
    assert LevelProjection(6, 16)(torch.randn(1, 3, 6)).shape == (1, 3, 16)


def test_branches_see_one_three_and_five_frames() -> None:
    torch.manual_seed(0)
    branches = TemporalBranches(4)
    sequence = torch.randn(1, 11, 4, requires_grad=True)
    for view, reach in enumerate((0, 1, 2)):
        (grad,) = torch.autograd.grad(branches(sequence)[0, view, 5].sum(), sequence)
        assert torch.nonzero(grad.abs().sum(-1)[0]).flatten().tolist() == list(range(5 - reach, 6 + reach))


def test_reading_a_map_is_a_weighted_mean_over_its_columns() -> None:
    read = MapToSequence(width=4, channels=3)
    seen = []
    read.convolutions.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    maps = torch.arange(5.0).expand(1, 3, 5, 5).clone()  # every row is 0 1 2 3 4, so its mean lies between
    with torch.no_grad():
        read.weight.weight.zero_()  # equal weights: the plain mean
        read(torch.randn(1, 5, 4), maps)
    assert torch.allclose(seen[0], torch.full((1, 3, 5), 2.0))


def test_positions_are_sines_and_cosines() -> None:
    positions = sine_positions(3, 4)
    assert positions[0].tolist() == [0, 1, 0, 1]
    expected = [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)]
    assert positions[2].tolist() == pytest.approx(expected, abs=1e-6)


def test_the_loss_is_a_sum_of_cross_entropies() -> None:
    even, sure = torch.zeros(1, 2, 2), torch.tensor([[[0.0, 3.0], [3.0, 0.0]]])
    loss = boundary_loss(Logits(even, even, sure), torch.tensor([1, 1]))
    wrong = math.log(1 + math.exp(3)) / 2 + math.log(1 + math.exp(-3)) / 2  # one of the two is sure and wrong
    assert loss.item() == pytest.approx(2 * math.log(2) + wrong, rel=1e-6)


def test_fused_logits_weigh_both_kinds() -> None:
    network = _network()
    with torch.no_grad():
        network.crossing.balance.fill_(math.log(3))  # sigmoid: 3/4 for differences
    logits = network(_levels(3))
    assert torch.allclose(logits.fused, logits.appearance / 4 + logits.differences * 3 / 4, atol=1e-6)
    assert logits.fused.shape == (SMALL_NETWORK.layers, 3, 2)


def test_a_batch_of_one_works_and_scores_the_same() -> None:
    network, levels = _network(), _levels(5)
    together = network.score(levels)
    alone = torch.cat([network.score([level[index : index + 1] for level in levels]) for index in range(5)])
    assert together.shape == (5,)
    assert torch.allclose(together, alone, atol=1e-6)
    assert ((together > 0) & (together < 1)).all()


def test_the_order_of_frames_matters() -> None:
    network, levels = _network(), _levels(2)
    assert not torch.allclose(network.score(levels), network.score([level.flip(1) for level in levels]), atol=1e-4)


def test_every_parameter_learns() -> None:
    network = _network().train()
    boundary_loss(network(_levels(4)), torch.tensor([0, 1, 0, 1])).backward()
    idle = [name for name, value in network.named_parameters() if value.grad is None]
    assert not idle


def test_reusing_frame_features_saves_most_of_the_arithmetic() -> None:
    # The published sizes with ResNet-50 at 224 px, counted without computing: 11 backbone passes for each score, or 1.
    with torch.device("meta"):
        resnet = transformers.ResNetModel(transformers.ResNetConfig()).eval()
        network = DDMNet(PUBLISHED, (512, 1024, 2048)).eval()
        with FlopCounterMode(display=False) as per_frame:
            resnet(torch.zeros(1, 3, 224, 224))
        with FlopCounterMode(display=False) as per_window:
            network.score([torch.zeros(1, 11, size) for size in (512, 1024, 2048)])
    backbone, head = per_frame.get_total_flops(), per_window.get_total_flops()
    assert backbone == pytest.approx(8.17e9, rel=0.01)
    assert head == pytest.approx(2.6e9, rel=0.05)
    assert (11 * backbone + head) / (backbone + head) == pytest.approx(8.6, abs=0.1)
