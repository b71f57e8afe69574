from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from dualvla_core.events.config import TemporalNetConfig  # noqa: E402
from dualvla_core.events.temporal_net import Lesson, TemporalNet, averaged, train_networks  # noqa: E402

SMALL = TemporalNetConfig(width=8, dilations=(1, 2), steps=60, episodes_per_step=8, learning_rate=0.02, dropout=0.1)


def _squared(outputs: Tensor, wanted: Tensor) -> Tensor:
    return (outputs - wanted) ** 2


def _rates(count: int, scale: float = 1.0) -> tuple[list[Tensor], list[Tensor]]:
    """Sequences of 20 to 24 numbers, and how much each differs from the one before, in large units."""
    torch.manual_seed(0)
    sequences = [torch.randn(20 + number % 5, 1) * scale for number in range(count)]
    return sequences, [1000 * torch.diff(each, dim=0, prepend=each[:1]) for each in sequences]


def test_networks_learn_what_a_sequence_says() -> None:
    sequences, wanted = _rates(40, scale=0.01)
    params = SMALL.model_copy(update={"steps": 300, "dropout": 0.0})
    calls: list[tuple[int, int]] = []
    networks, loss = train_networks(
        params, Lesson(sequences[:30], wanted[:30], _squared, scaled=True), 2, 0, lambda *call: calls.append(call)
    )
    assert calls == [(step, 600) for step in range(1, 601)]
    assert not networks.training
    for network in networks:
        assert float(network.get_buffer("spread")) == pytest.approx(float(torch.cat(sequences[:30]).std()), rel=0.01)
    assert loss < 0.1  # of the variance: outputs count in their spread
    said = averaged(networks, sequences[35].numpy())
    assert float(((said - wanted[35]) ** 2).mean()) < 0.1 * float(wanted[35].var())


def test_the_same_seed_gives_the_same_weights_members_differ_and_nobody_is_disturbed() -> None:
    lesson = Lesson(*_rates(6), _squared)
    short = SMALL.model_copy(update={"steps": 3})
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = train_networks(short, lesson, 2, 1)[0].state_dict()
    assert torch.rand(1) == expected
    second = train_networks(short, lesson, 2, 1)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["0.enter.weight"], first["1.enter.weight"])
    other = train_networks(short, lesson, 2, 2)[0].state_dict()
    assert not torch.equal(first["0.enter.weight"], other["0.enter.weight"])


def test_padding_changes_no_output() -> None:
    torch.manual_seed(0)
    network = TemporalNet(SMALL, 2, 3).eval()
    sequence = torch.randn(1, 10, 2)
    padded = torch.cat([sequence, torch.randn(1, 5, 2)], dim=1)
    inside = torch.tensor([[1.0] * 10 + [0.0] * 5])
    with torch.inference_mode():
        outputs = network(padded, inside)
        assert outputs.shape == (1, 15, 3)
        assert torch.allclose(outputs[0, :10], network(sequence, inside[:, :10])[0], atol=1e-6)


@pytest.mark.parametrize("kernel", [3, 5])
def test_each_convolution_adds_to_what_there_is(kernel: int) -> None:
    network = TemporalNet(SMALL.model_copy(update={"kernel": kernel}), 1, 1).eval()
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(network.enter.bias, 2.0)
    for block in network.blocks:
        nn.init.constant_(block.bias, 0.5)
    nn.init.ones_(network.leave.weight)
    network.get_buffer("unit").fill_(10.0)
    with torch.inference_mode():
        outputs = network(torch.zeros(1, 4, 1), torch.ones(1, 4))
    assert outputs.flatten().tolist() == [10 * 8 * (2 + 2 * 0.5)] * 4


def test_shorter_episodes_count_by_their_frames() -> None:
    """One episode of one frame beside one of three: the loss is the mean over four frames, padding left out."""
    lesson = Lesson(
        [torch.zeros(1, 1), torch.zeros(3, 1)],
        [torch.zeros(1, 2), torch.ones(3, 2)],
        lambda outputs, wanted: wanted + 0 * outputs,
    )
    _, loss = train_networks(SMALL.model_copy(update={"steps": 1, "episodes_per_step": 64}), lesson, 2, 0)
    expected = []
    for member in range(2):
        drawn = int(np.random.SeedSequence([0, member]).generate_state(1)[0])
        longer = int(np.random.default_rng(drawn).integers(0, 2, 64).sum())
        expected.append(3 * longer / (3 * longer + (64 - longer)))
    assert loss == pytest.approx(sum(expected) / 2)


def test_sequences_are_varied_anew_in_every_step() -> None:
    seen: list[Tensor] = []

    def varied(sequence: Tensor) -> Tensor:
        seen.append(sequence + torch.rand(()))
        return seen[-1]

    lesson = Lesson(*_rates(2), _squared, varied)
    train_networks(SMALL.model_copy(update={"steps": 2, "episodes_per_step": 3}), lesson, 1, 0)
    assert len(seen) == 6
    assert len({float(each[0, 0]) for each in seen}) == 6


def test_averaged_is_the_mean_of_what_is_said_of_each_output() -> None:
    networks = nn.ModuleList(TemporalNet(SMALL, 1, 1) for _ in range(2)).eval()
    sequence = np.ones((4, 1), np.float32)
    inside = torch.ones(1, 4)
    with torch.inference_mode():
        each = [network(torch.ones(1, 4, 1), inside)[0].sigmoid() for network in networks]
    assert torch.allclose(averaged(networks, sequence, torch.sigmoid), (each[0] + each[1]) / 2)
