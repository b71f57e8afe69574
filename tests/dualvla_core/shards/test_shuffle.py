from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.shards import shuffle
from dualvla_core.shards.shuffle import Permutation

sizes = st.one_of(st.integers(1, 400), st.sampled_from([65536, 65537, 100_003]))


@pytest.fixture(scope="module", autouse=True, params=["drawn", "computed"])
def _method(request: pytest.FixtureRequest) -> object:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "computed":
            patch.setattr(shuffle, "_DRAWN", 0)
        yield


@given(sizes, st.integers(0, 2**40))
@settings(max_examples=60, deadline=None)
def test_every_row_comes_exactly_once(size: int, key: int) -> None:
    rows = Permutation(size, key)(np.arange(size))
    assert (np.sort(rows) == np.arange(size)).all()


@given(sizes, st.data())
@settings(max_examples=30, deadline=None)
def test_any_place_can_be_asked_alone(size: int, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, size - 1))
    permutation = Permutation(size, 7)
    assert permutation(np.array([place]))[0] == permutation(np.arange(size))[place]
    with pytest.raises(IndexError, match=f"of a permutation of {size}"):
        permutation(np.array([size]))
    with pytest.raises(IndexError):
        permutation(np.array([-1]))


def test_places_are_left_alone_and_none_gives_none() -> None:
    places = np.arange(70_000)
    Permutation(70_000, 1)(places)
    assert (places == np.arange(70_000)).all()
    assert len(Permutation(5, 1)(places[:0])) == 0


def test_every_key_is_another_order() -> None:
    keys = [(0,), (1,), (0, 1), (1, 0), (0, 2)]
    orders = {tuple(Permutation(100_000, *key)(np.arange(50)).tolist()) for key in keys}
    assert len(orders) == len(keys)


def test_neighbours_are_torn_apart_and_every_row_is_as_likely() -> None:
    size = 100_000
    rows = Permutation(size, 3)(np.arange(size))
    for lag in (1, 2, 316, 317):
        assert abs(np.corrcoef(rows[:-lag], rows[lag:])[0, 1]) < 0.02  # five standard deviations are 0.016
    counts = np.histogram2d(np.arange(size), rows, bins=20)[0]  # 250 expected in each of 400 cells
    assert 250 < ((counts - 250) ** 2 / 250).sum() < 500  # about 361, with a standard deviation of 27
    first = [Permutation(size, key)(np.array([0]))[0] for key in range(400)]
    assert abs(np.mean(first) / size - 0.5) < 0.075
