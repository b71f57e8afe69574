from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.errors import ConfigError
from dualvla_core.shards import BatchSampler, SampleOrder, ShardDataset

lengths = st.lists(st.integers(20, 3000), min_size=1, max_size=4)


@given(lengths, st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_without_weights_each_sample_comes_once_before_any_comes_again(lengths: list[int], seed: int) -> None:
    total = sum(lengths)
    rows = SampleOrder(lengths, seed=seed).rows(0, 3 * total)
    passes = rows.reshape(3, total)
    assert (np.sort(passes, axis=1) == np.arange(total)).all()
    assert not (passes[0] == passes[1]).all()


@given(lengths, st.integers(0, 10**7), st.integers(0, 9000))
@settings(max_examples=15, deadline=None)
def test_the_order_does_not_depend_on_how_it_is_asked(lengths: list[int], start: int, count: int) -> None:
    for weights in (None, [1.0] * len(lengths)):
        order = SampleOrder(lengths, weights, seed=1)
        whole = order.rows(start, start + count)
        cut = start + count // 3
        again = SampleOrder(lengths, weights, seed=1)
        assert np.concatenate([again.rows(start, cut), again.rows(cut, start + count)]).tolist() == whole.tolist()


@given(st.lists(st.tuples(st.integers(90, 900), st.floats(0.1, 9)), min_size=1, max_size=4), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_weights_are_exact_and_each_source_is_shuffled_exactly(sources: list[tuple[int, float]], seed: int) -> None:
    lengths, weights = [list(column) for column in zip(*sources, strict=True)]
    rows = SampleOrder(lengths, weights, seed).rows(0, 3 * 4096)  # type: ignore[arg-type]
    first = 0
    for length, weight in sources:
        visited = rows[(first <= rows) & (rows < first + length)] - first
        assert abs(len(visited) / 3 - weight / sum(weights) * 4096) < 1
        passes = visited[: len(visited) // length * length].reshape(-1, length)
        assert (np.sort(passes, axis=1) == np.arange(length)).all()
        first += length


def test_sources_are_mixed_finely() -> None:
    rows = SampleOrder([10, 10_000], [1, 7], seed=3).rows(0, 4096 * 4)
    robot = (rows < 10).reshape(-1, 256).sum(axis=1)
    assert robot.sum() == 4096 * 4 // 8
    assert robot.min() > 10  # 32 expected of 256
    assert robot.max() < 60


def test_another_seed_is_another_order() -> None:
    first, again, other = (SampleOrder([500, 500], [1, 2], seed).rows(0, 200).tolist() for seed in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize(
    ("lengths", "weights", "sentence"),
    [
        ([], None, "at least one source"),
        ([3, 0], None, "none that is empty"),
        ([3, 3], [1.0], "one positive number for each"),
        ([3], [0.0], "one positive number for each"),
        ([3], [float("nan")], "one positive number for each"),
        ([3, 3], [1.0, 1e4], "less than one sample in 4096"),
    ],
)
def test_what_does_not_fit_is_refused(lengths: list[int], weights: list[float] | None, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        SampleOrder(lengths, weights)


def test_processes_share_each_batch_without_overlap() -> None:
    order = SampleOrder([1000])
    whole = list(BatchSampler(order, 12, steps=9))
    for processes in (1, 2, 3, 4):
        shares = [list(BatchSampler(order, 12, rank, processes, steps=9)) for rank in range(processes)]
        for step, batch in enumerate(whole):
            parts = [share[step] for share in shares]
            assert {len(part) for part in parts} == {12 // processes}
            assert Counter(row for part in parts for row in part) == Counter(batch)


def test_a_training_goes_on_where_it_stopped_with_other_processes() -> None:
    order = SampleOrder([50, 70], [1, 3])
    whole = list(BatchSampler(order, 4, steps=20))
    before = [list(BatchSampler(order, 4, rank, 2, steps=8)) for rank in range(2)]
    after = list(BatchSampler(order, 4, start=8, steps=20))
    together = [sorted(one + two) for one, two in zip(*before, strict=True)]
    assert together + [sorted(batch) for batch in after] == [sorted(batch) for batch in whole]
    assert len(BatchSampler(order, 4, start=8, steps=20)) == 12


def test_an_endless_sampler_has_no_length() -> None:
    endless = BatchSampler(SampleOrder([5]), 2)
    assert [len(batch) for batch in islice(endless, 4)] == [2, 2, 2, 2]
    with pytest.raises(TypeError):
        len(endless)


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError, match="A batch of 10 cannot be shared equally by 4"):
        BatchSampler(SampleOrder([5]), 10, processes=4)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_number_of_workers_changes_nothing(make_shard: Callable[..., Path], workers: int) -> None:
    data = pytest.importorskip("torch.utils.data")
    shard = make_shard([{"trajectory": np.zeros((length, 6)), "name": f"{length}"} for length in (7, 5)])
    dataset = ShardDataset([shard], action_chunk=2)
    loader = data.DataLoader(
        dataset,
        batch_sampler=BatchSampler(SampleOrder([len(dataset)], seed=2), 4, start=3, steps=9),
        num_workers=workers,
        collate_fn=lambda frames: [(frame.episode, frame.frame_index) for frame in frames],
    )
    rows = SampleOrder([12], seed=2).rows(12, 36).tolist()
    assert [key for batch in loader for key in batch] == [("7", row) if row < 7 else ("5", row - 7) for row in rows]
