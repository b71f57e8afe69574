"""Compares detectors with each other and with baselines that see nothing, on episodes and tasks held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dualvla_core.events.baselines import PhaseTimes, at_random, mean_count, uniform
from dualvla_core.events.calibration import Calibration
from dualvla_core.events.labels import LabelledEpisode
from dualvla_core.events.metrics import BoundaryAgreement, match_boundaries, total_agreement

Group: TypeAlias = Literal["held-out episodes", "held-out tasks"]
TOLERANCES = (1, 3)  # frames
_RESAMPLES = 2000
_ENOUGH_TASKS = 5  # held-out tasks; of fewer, resampling would mostly draw one of them again and again
Detections: TypeAlias = Mapping[str, Mapping[str, Sequence[int]]]
"""Boundaries by detector, then by episode."""


class Comparison(NamedTuple):
    """How well one detector does on one group of episodes, at one tolerance."""

    detector: str
    group: Group
    tolerance: int
    """Frames."""
    agreement: BoundaryAgreement
    low: float
    """Of F1's 95 % interval, by bootstrap over episodes; over held-out tasks, where there are several."""
    high: float
    episodes: int

    def as_json(self) -> dict[str, str | int | float]:
        """The comparison as plain values, with F1, precision and recall worked out."""
        found = self.agreement
        return {
            "detector": self.detector,
            "group": self.group,
            "tolerance": self.tolerance,
            **found._asdict(),
            "precision": found.precision,
            "recall": found.recall,
            "f1": found.f1,
            "f1_low": self.low,
            "f1_high": self.high,
            "episodes": self.episodes,
        }


class Margin(NamedTuple):
    """How much larger one detector's F1 is than another's on the same episodes, with a 95 % interval."""

    detector: str
    other: str
    group: Group
    tolerance: int
    value: float
    low: float
    high: float


def detections(
    calibrations: Mapping[str, Calibration],
    scores: Mapping[str, Mapping[str, NDArray[np.float32]]],
    known: Sequence[LabelledEpisode],
    episodes: Sequence[LabelledEpisode],
) -> dict[str, dict[str, list[int]]]:
    """Boundaries of ``episodes`` by each calibrated detector, and by the baselines.

    ``known`` are labelled episodes that may be learned from. The prior of phase times averages those of the episode's
    own task; for a task that none of them is of, it averages over all.
    """
    count = mean_count(known)
    priors = {task: PhaseTimes([each for each in known if each.task == task]) for task in {each.task for each in known}}
    everything = PhaseTimes(known)
    found: dict[str, dict[str, list[int]]] = {
        name: {each.episode: calibration.boundaries(scores[name][each.episode], each.fps).tolist() for each in episodes}
        for name, calibration in calibrations.items()
    }
    found["uniform"] = {each.episode: uniform(each.length, count) for each in episodes}
    found["random"] = {each.episode: at_random(each.episode, each.length, count) for each in episodes}
    found["phase_times"] = {
        each.episode: priors.get(each.task, everything).boundaries(each.length) for each in episodes
    }
    return found


def told_phase_times(episodes: Sequence[LabelledEpisode], known: Sequence[LabelledEpisode]) -> dict[str, list[int]]:
    """Boundaries of ``episodes`` by the prior that knows the other ones of the task; ``known`` where there is none."""
    found = {}
    for each in episodes:
        others = [other for other in episodes if other.task == each.task and other is not each]
        found[each.episode] = PhaseTimes(others or known).boundaries(each.length)
    return found


def compare(group: Group, episodes: Sequence[LabelledEpisode], found: Detections) -> list[Comparison]:
    """F1 of every detector in ``found`` on ``episodes``, at each tolerance."""
    rows = []
    units = _units(group, episodes)
    draws = _draws(len(set(units)))
    for tolerance in TOLERANCES:
        for name, boundaries in found.items():
            counts = _counts(episodes, units, boundaries, tolerance)
            low, high = np.quantile(_f1(counts[draws].sum(1)), [0.025, 0.975]).tolist()
            agreement = total_agreement(BoundaryAgreement(*row) for row in counts.tolist())
            rows.append(Comparison(name, group, tolerance, agreement, low, high, len(episodes)))
    return rows


def margins(
    group: Group, episodes: Sequence[LabelledEpisode], found: Detections, detectors: Sequence[str]
) -> list[Margin]:
    """How far each of ``detectors`` is ahead of every baseline; both see the same resampled episodes or tasks."""
    rows = []
    units = _units(group, episodes)
    draws = _draws(len(set(units)))
    for tolerance in TOLERANCES:
        counts = {name: _counts(episodes, units, boundaries, tolerance) for name, boundaries in found.items()}
        for name in detectors:
            for other in sorted(set(found) - set(detectors)):
                ahead = _f1(counts[name][draws].sum(1)) - _f1(counts[other][draws].sum(1))
                value = float(_f1(counts[name].sum(0)) - _f1(counts[other].sum(0)))
                low, high = np.quantile(ahead, [0.025, 0.975]).tolist()
                rows.append(Margin(name, other, group, tolerance, value, low, high))
    return rows


def _units(group: Group, episodes: Sequence[LabelledEpisode]) -> list[str]:
    """What each episode is resampled with: its task where it is tasks that are new, else nothing but itself."""
    tasks = [each.task for each in episodes]
    several = group == "held-out tasks" and len(set(tasks)) >= _ENOUGH_TASKS
    return tasks if several else [each.episode for each in episodes]


def _draws(units: int) -> NDArray[np.int64]:
    """``[resamples, units]``: bootstrap samples of the units' positions, the same ones every time."""
    return np.random.default_rng(0).integers(0, units, (_RESAMPLES, units))


def _counts(
    episodes: Sequence[LabelledEpisode], units: Sequence[str], boundaries: Mapping[str, Sequence[int]], tolerance: int
) -> NDArray[np.int64]:
    """``[units, 3]``: true positives, false positives, false negatives of each unit, in the order of the episodes."""
    numbers = {unit: number for number, unit in enumerate(dict.fromkeys(units))}
    counts = np.zeros((len(numbers), 3), np.int64)
    for each, unit in zip(episodes, units, strict=True):
        counts[numbers[unit]] += match_boundaries(boundaries[each.episode], each.boundaries, tolerance)
    return counts


def _f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 ``[...]`` of counts ``[..., 3]``; 0 where there is nothing."""
    hits, wrong, missed = np.moveaxis(counts, -1, 0)
    return np.asarray(2 * hits / np.maximum(1, 2 * hits + wrong + missed))
