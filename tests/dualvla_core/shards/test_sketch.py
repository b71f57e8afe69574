from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dualvla_core.shards.sketch import QUANTILE_ERROR, Sketch, describe

NUMBERS = arrays(np.float32, st.integers(1, 200), elements=st.floats(-1e6, 1e6, width=32))


def of(values: np.ndarray) -> Sketch:
    sketch = Sketch()
    sketch.add(values.astype(np.float32))
    return sketch


def close(sketch: Sketch, values: np.ndarray, share: float) -> bool:
    """Within the stated error of the exact quantile, relative to the larger neighbour in order."""
    ranked = np.sort(values.astype(np.float64))
    rank = share * (len(ranked) - 1)
    neighbours = np.abs(ranked[[int(np.floor(rank)), int(np.ceil(rank))]])
    return bool(abs(sketch.quantile(share) - np.quantile(ranked, share)) <= QUANTILE_ERROR * neighbours.max() + 1e-37)


@settings(deadline=None)
@given(NUMBERS, st.sampled_from([0.0, 0.01, 0.5, 0.99, 1.0]))
def test_quantiles_are_within_the_stated_error(values: np.ndarray, share: float) -> None:
    assert close(of(values), values, share)


@settings(deadline=None)
@given(NUMBERS, st.integers(0, 200))
def test_any_cut_gives_the_same_bins_and_quantiles(values: np.ndarray, cut: int) -> None:
    whole, first, second = of(values), of(values[:cut]), of(values[cut:])
    second.merge(first)
    np.testing.assert_array_equal(second.bins, whole.bins)
    np.testing.assert_array_equal(second.counts, whole.counts)
    assert [second.quantile(q) for q in (0.01, 0.99)] == [whole.quantile(q) for q in (0.01, 0.99)]
    assert (second.count, second.minimum, second.maximum) == (whole.count, whole.minimum, whole.maximum)
    scale = max(1.0, float(np.abs(values).max()))
    np.testing.assert_allclose([second.mean, second.std], [whole.mean, whole.std], atol=1e-6 * scale)


def test_a_large_sample_of_a_known_distribution() -> None:
    values = np.random.default_rng(0).normal(0.3, 2, 500_000).astype(np.float32)
    sketch = Sketch()
    for part in np.array_split(values, 7):
        sketch.add(part)
    assert sketch.mean == pytest.approx(values.mean(dtype=float))
    assert sketch.std == pytest.approx(values.std(dtype=float))
    for share in (0.01, 0.25, 0.99):
        assert sketch.quantile(share) == pytest.approx(np.quantile(values, share), rel=2 * QUANTILE_ERROR)
    assert sketch.bins.size < 40_000  # memory is bounded by the bins, not by the data


def test_values_by_hand() -> None:
    sketch = of(np.array([-2, -1, 0, 0, 4]))
    assert [sketch.quantile(q) for q in (0, 0.5, 1)] == pytest.approx([-2, 0, 4], abs=1e-3)
    assert sketch.quantile(0.125) == pytest.approx(-1.5, rel=QUANTILE_ERROR)
    assert (sketch.mean, sketch.std) == (pytest.approx(0.2), pytest.approx(np.sqrt(20.8 / 5)))


def test_values_that_are_not_finite_are_left_out() -> None:
    columns = np.array([[1, np.nan], [np.nan, np.nan], [3, np.inf], [np.inf, np.nan]], np.float32).T
    found = describe([of(column) for column in columns])
    assert found["mean"] == [2, None]
    assert found["max"] == [3, None]
    assert found["q99"] == [pytest.approx(2.98, rel=QUANTILE_ERROR), None]
