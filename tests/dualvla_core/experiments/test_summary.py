from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from dualvla_core.experiments.outcome import read_seed, read_trials
from dualvla_core.experiments.summary import ExperimentSummary, estimate, summarise
from tests.dualvla_core.experiments.conftest import MakeSeed


def over(folders: Sequence[Path]) -> ExperimentSummary:
    return summarise(["dualvla"], [read_seed(each) for each in folders], [read_trials(each) for each in folders])


def test_an_interval_is_students_over_the_seeds() -> None:
    found = estimate([1, 2, 3])
    assert found.mean == 2
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5)  # t(0.975, 2 degrees of freedom), deviation 1
    assert found.high == pytest.approx(2 + 4.302653 / 3**0.5)
    assert not found.excludes_zero
    assert estimate([10, 11, 12]).excludes_zero


def test_one_seed_has_no_interval_and_tells_nothing() -> None:
    found = estimate([7])
    assert (found.mean, found.low, found.high, found.excludes_zero) == (7, None, None, False)


def test_seeds_that_agree_by_chance_are_not_taken_to_vary_less_than_their_trials() -> None:
    halves = [[100.0, 0.0] * 8] * 2  # a standard error of 50 / sqrt(16)
    found = estimate([50, 50], halves)
    assert found.high == pytest.approx(50 + 12.706205 * 12.5 / 2**0.5)  # t(0.975, 1 degree of freedom)
    assert estimate([20, 80], halves) == estimate([20, 80]), "they differ by more"
    assert estimate([5, 5]).low is None, "nothing is known to vary"
    assert estimate([100, 100], [[100.0] * 4] * 2).low is None


def test_differences_are_taken_within_seeds(make_seed: MakeSeed) -> None:
    folders = [
        make_seed(0, dualvla="SSSS" * 16, raw_5="SSff" * 16),
        make_seed(1, dualvla="SSSf" * 16, raw_5="Sfff" * 16),
        make_seed(2, dualvla="SSff" * 16, raw_5="ffff" * 16),
    ]
    found = over(folders)
    assert found.seeds == (0, 1, 2)
    assert found.variants["dualvla"]["success"].seeds == (100, 75, 50)
    (success,) = [each for each in found.differences if each.measure == "success"]
    assert success.variant == "raw_5"
    assert success.estimate.seeds == (-50, -50, -50)  # the seeds differ by far more than the variants vary
    assert success.verdict == "below"
    assert success.estimate.high == pytest.approx(-50 + 4.302653 * 50 / 64**0.5 / 3**0.5)
    assert (success.better, success.worse) == (0, 96)
    assert success.p_value == pytest.approx(2 / 2**96)


def test_a_difference_that_varies_with_the_seed_is_not_told_apart(make_seed: MakeSeed) -> None:
    found = over([make_seed(0, dualvla="SSff", raw_5="ffff"), make_seed(1, dualvla="ffff", raw_5="SSSf")])
    (success,) = [each for each in found.differences if each.measure == "success"]
    assert success.verdict == "not told apart"
    assert (success.better, success.worse) == (3, 2)


def test_a_pair_of_references_is_compared_once(make_seed: MakeSeed) -> None:
    folder = make_seed(0, dualvla="SSff", specialist="SSSf", raw_5="ffff")
    found = summarise(["dualvla", "specialist"], [read_seed(folder)], [read_trials(folder)])
    success = [each for each in found.differences if each.measure == "success"]
    compared = [(each.variant, each.reference, each.estimate.mean) for each in success]
    assert compared == [("specialist", "dualvla", 25), ("raw_5", "dualvla", -50), ("raw_5", "specialist", -75)]
