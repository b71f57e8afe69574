from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from dualvla_core.errors import ArtifactError
from dualvla_core.shards.moments import Moments, merge_moments, moments_of
from dualvla_core.shards.statistics import describe


def _row(values: np.ndarray) -> dict[str, object]:
    return {"action": {key: each.tolist() for key, each in moments_of(values)._asdict().items()}, "state": None}


def test_moments_by_hand() -> None:
    found = moments_of(np.array([[1.0, np.nan], [3.0, 5.0], [np.inf, 7.0]]))
    assert found.frames.tolist() == [2, 2]
    assert found.mean.tolist() == [2, 6]
    assert found.squares.tolist() == [2, 2]
    assert (found.minimum.tolist(), found.maximum.tolist()) == ([1, 5], [3, 7])
    assert found.std.tolist() == [1, 1]


def test_nothing_counted_has_no_spread() -> None:
    empty = moments_of(np.array([[np.nan]]))
    assert np.isnan(empty.std).all()
    both = merge_moments([_row(np.array([[np.nan]])), _row(np.array([[2.0]]))])["action"]
    assert (both.frames.tolist(), both.mean.tolist(), both.std.tolist()) == ([1], [2], [0])
    assert (both.minimum.tolist(), both.maximum.tolist()) == ([2], [2])


@given(st.integers(0, 2**32), st.lists(st.integers(1, 20), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_merged_moments_are_the_statistics_of_all_frames(seed: int, lengths: list[int]) -> None:
    rng = np.random.default_rng(seed)
    parts = [rng.normal(1000, 3, (length, 3)) for length in lengths]
    found, expected = merge_moments([_row(part) for part in parts])["action"], describe(np.concatenate(parts))
    assert_allclose(found.mean, expected["mean"])
    assert_allclose(found.std, expected["std"], rtol=1e-9, atol=1e-9)
    assert_allclose(found.minimum, expected["min"])
    assert_allclose(found.maximum, expected["max"])


def test_signals_of_another_width_are_refused() -> None:
    rows = [_row(np.zeros((1, 2))), _row(np.zeros((1, 3)))]
    with pytest.raises(ArtifactError, match="2 dimensions in one episode and 3 in another"):
        merge_moments(rows)


def test_a_missing_signal_is_left_out() -> None:
    assert set(merge_moments([_row(np.zeros((1, 2)))])) == {"action"}
    assert merge_moments([]) == {}
    assert Moments._fields == ("frames", "mean", "squares", "minimum", "maximum")
