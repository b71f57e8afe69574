from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualvla_core.report import svg
from dualvla_core.report.svg import Scale


def test_scale_maps_ends_and_middle_and_may_run_downwards() -> None:
    scale = Scale(0, 4, 100, 0)
    assert [scale(value) for value in (0, 1, 4)] == [100, 75, 0]
    assert Scale(3, 3, 0, 10)(3) == 5


def test_polyline_puts_points_where_the_scales_say() -> None:
    path = svg.polyline([0, 1, 2], [0.0, 0.5, 1.0], Scale(0, 2, 0, 1000), Scale(0, 1, 100, 0))
    assert path == "M0 100L500 50L1000 0"


def test_polyline_is_broken_at_undefined_values() -> None:
    ys = [float("nan"), 1.0, float("nan"), 0.0, 0.25]
    path = svg.polyline(range(5), ys, Scale(0, 4, 0, 4), Scale(0, 1, 100, 0))
    assert path == "M1 0M3 100L4 75"


def test_runs_are_half_open_and_bands_cover_them() -> None:
    flags = np.array([True, True, False, True])
    assert svg.runs(flags) == [(0, 2), (3, 4)]
    assert svg.bands(svg.runs(flags), Scale(0, 4, 0, 1000)) == "M0 0h500v100h-500zM750 0h250v100h-250z"


@given(st.lists(st.booleans(), max_size=40))
def test_runs_say_exactly_which_flags_are_set(flags: list[bool]) -> None:
    found = [index for start, stop in svg.runs(np.array(flags, np.bool_)) for index in range(start, stop)]
    assert found == [index for index, flag in enumerate(flags) if flag]


def test_bars_stand_on_zero() -> None:
    path = svg.bars([1, 2], Scale(0, 2, 0, 100), Scale(0, 2, 100, 0), gap=0.5)
    assert path == "M12.5 50h25v50h-25zM62.5 0h25v100h-25z"


def test_marks_are_vertical_lines() -> None:
    assert svg.marks([1.5], Scale(0, 3, 0, 300)) == "M150 0V100"


def test_envelope_thins_out_points_but_keeps_the_peak_and_the_trough() -> None:
    ys = np.zeros(10_000)
    ys[4321], ys[9876] = 7.0, -3.0
    thin_x, thin_y = svg.envelope(np.arange(10_000.0), ys, columns=100)
    assert len(thin_x) <= 200
    assert thin_x[thin_y.argmax()] == 4321
    assert thin_x[thin_y.argmin()] == 9876
    assert (np.diff(thin_x) > 0).all()


def test_envelope_keeps_a_gap_of_undefined_values() -> None:
    ys = np.concatenate([np.ones(500), np.full(500, np.nan)])
    assert np.isnan(svg.envelope(np.arange(1000.0), ys, columns=10)[1]).sum() == 5


def test_short_curves_are_left_alone() -> None:
    xs = np.arange(5.0)
    assert svg.envelope(xs, xs, columns=10)[0] is xs


@pytest.mark.parametrize(
    ("high", "expected"),
    [(10, [0, 2, 4, 6, 8, 10]), (0.35, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1])],
)
def test_ticks_are_round_and_few(high: float, expected: list[float]) -> None:
    assert svg.ticks(high, most=8) == pytest.approx(expected)


def test_nothing_has_one_tick_and_no_step() -> None:
    assert svg.ticks(0) == [0.0]
    with pytest.raises(ValueError, match="positive span"):
        svg.nice_step(0, 5)


@given(st.floats(1e-6, 1e9), st.integers(1, 12))
def test_a_nice_step_divides_into_at_most_as_many_steps(span: float, most: int) -> None:
    assert span / svg.nice_step(span, most) <= most * (1 + 1e-6)


@pytest.mark.parametrize(("value", "text"), [(1.0, "1"), (0.125, "0.12"), (-0.001, "0"), (100.0, "100")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert svg.number(value) == text


def test_labels_keep_apart_and_inside() -> None:
    assert svg.apart([50, 10], 7, 100) == [50, 10]
    assert svg.apart([99, 98, 100], 7, 100) == [93, 86, 100]
    found = svg.apart([40, 41, 42, 43], 7, 100)
    assert all(upper - lower >= 7 for lower, upper in pairwise(found))
    assert svg.apart([], 7, 100) == []
