from __future__ import annotations

import numpy as np

from dualvla_core.events.baselines import PhaseTimes, at_random, mean_count, uniform
from dualvla_core.events.labels import LabelledEpisode


def _episode(length: int, *boundaries: int) -> LabelledEpisode:
    return LabelledEpisode("e", "e", "t", length, 10.0, boundaries)


def test_uniform_boundaries_cut_equal_parts() -> None:
    assert uniform(80, 3) == [20, 40, 60]
    assert uniform(80, 0) == []


def test_random_boundaries_depend_on_the_episode_alone() -> None:
    drawn = at_random("one", 80, 5)
    assert drawn == at_random("one", 80, 5) != at_random("two", 80, 5)
    assert len(set(drawn)) == 5
    assert at_random("one", 3, 5) == [0, 1, 2]
    everything = np.concatenate([at_random(str(number), 10, 1) for number in range(500)])
    assert set(everything.tolist()) == set(range(10))


def test_the_mean_count_is_rounded() -> None:
    assert mean_count([_episode(9, 1), _episode(9, 1, 2), _episode(9, 1, 2)]) == 2
    assert mean_count([]) == 0


def test_phase_times_are_mean_shares_of_the_duration() -> None:
    prior = PhaseTimes([_episode(100, 20, 60), _episode(50, 20, 40), _episode(100, 99)])  # the last has another count
    assert prior.boundaries(100) == [30, 70]
    assert prior.boundaries(10) == [3, 7]
