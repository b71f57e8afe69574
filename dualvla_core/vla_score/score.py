"""DualVLA Eq. 8, its averages with intervals, and the paired comparison of two policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dualvla_core.errors import ArtifactError, UserError
from dualvla_core.evaluation.policy import REASONING_POLICIES, PolicyType
from dualvla_core.evaluation.statistics import Difference, Interval
from dualvla_core.vla_score.config import BootstrapConfig
from dualvla_core.vla_score.judge import Verdict

_FEWEST = 2  # trajectories of a cell from which its spread can be told


class CoverageError(UserError):
    """So many verdicts are missing that a score would not mean anything."""


class UnpairedError(UserError):
    """Two policies that were not judged on the same episodes."""


@dataclass(frozen=True)
class Scored:
    """One trajectory with its score in [0, 1]; none where the verdict is missing."""

    task: str
    seed: int
    score: float | None


@dataclass(frozen=True)
class VlaScore:
    """The score of many trajectories, on the paper's scale of 0 to 100. Missing verdicts enter no mean."""

    macro: float
    """The mean over tasks of their means: every task counts alike. This is the score that is reported."""
    micro: float
    """The mean over all trajectories."""
    macro_interval: Interval | None
    """None where a task has a single trajectory: its spread is unknown."""
    micro_interval: Interval | None
    tasks: Mapping[str, float]
    task_intervals: Mapping[str, Interval | None]
    coverage: float
    """The share of trajectories with a verdict."""
    possible: Interval
    """The macro score if every missing verdict were the worst, and if it were the best."""


@dataclass(frozen=True)
class Comparison:
    """How much higher the first of two policies scores than the second, over the episodes both were judged on."""

    macro: Difference
    """Of the macro scores (0 to 100), with its interval; without an interval where a task has a single pair."""
    pairs: int
    unpaired: int
    """Episodes that only one of the two has a verdict for."""
    higher: int
    lower: int
    """Pairs in which the first scores higher, or lower, than the second."""


def trajectory_score(verdict: Verdict, policy_type: PolicyType, success: bool) -> float:
    """The VLA Score of one trajectory in [0, 1] (DualVLA Eq. 8).

    ``(R + A I) / 2 * RA * B`` for a policy that reasons and ``A I RA B`` for one that does not, with the verdict's
    numbers divided by 10 and B = 1 for success, 0 for failure. A specialist says nothing, so its RA is 1. The branch
    follows the policy's recorded type: a reasoning policy that stays silent is not a specialist.

    Raises:
        ArtifactError: when a reasoning policy was judged without reasoning or alignment.
    """
    action, intention, outcome = verdict.action / 10, verdict.intention / 10, float(success)
    if policy_type not in REASONING_POLICIES:
        return action * intention * outcome
    if verdict.reasoning is None or verdict.alignment is None:
        raise ArtifactError(
            f"A {policy_type} policy was judged without reasoning or alignment, which Eq. 8 needs; judge it again."
        )
    return (verdict.reasoning / 10 + action * intention) / 2 * (verdict.alignment / 10) * outcome


def aggregate(scored: Sequence[Scored], config: BootstrapConfig, min_coverage: float = 0.0) -> VlaScore:
    """Average the scores per task and then over tasks, with percentile intervals of a bootstrap within tasks.

    Raises:
        CoverageError: when less than ``min_coverage`` of the trajectories, or none of a task's, has a verdict.
    """
    known = _by_task([each for each in scored if each.score is not None])
    judged, total = sum(len(values) for values in known.values()), len(scored)
    silent = sorted({each.task for each in scored} - set(known))
    if not judged or judged < min_coverage * total or silent:
        without = f", none of {silent[0]!r}" if judged and silent else ""
        raise CoverageError(
            f"{judged} of {total} trajectories have a verdict{without}, fewer than a score needs (coverage "
            f"{min_coverage:g}, every task); judge again: what was judged is kept, and only the missing is asked for."
        )
    means = {task: float(100 * values.mean()) for task, values in known.items()}
    draws = {task: 100 * resampled_means(values, config, stream) for stream, (task, values) in enumerate(known.items())}
    everything = np.concatenate(list(known.values()))
    spread = all(len(values) >= _FEWEST for values in known.values())
    worst, best = (np.mean([v.mean() for v in _by_task(scored, missing=value).values()]) * 100 for value in (0.0, 1.0))
    return VlaScore(
        macro=float(np.mean(list(means.values()))),
        micro=float(100 * everything.mean()),
        macro_interval=percentiles(np.mean(list(draws.values()), axis=0), config) if spread else None,
        micro_interval=_weighted(draws, known, config) if spread else None,
        tasks=means,
        task_intervals={
            task: percentiles(draws[task], config) if len(values) >= _FEWEST else None for task, values in known.items()
        },
        coverage=judged / total,
        possible=Interval(float(worst), float(best)),
    )


def compare_policies(first: Sequence[Scored], second: Sequence[Scored], config: BootstrapConfig) -> Comparison:
    """The paired difference of two policies' macro scores, by a bootstrap over pairs within tasks.

    An episode is named by task and seed. Pairing takes the difficulty of the episodes out of the comparison.

    Raises:
        UnpairedError: when the two share no episode, or a policy holds one twice.
    """
    ours, theirs = _episodes(first), _episodes(second)
    shared = [name for name in ours if name in theirs]
    if not shared:
        raise UnpairedError(
            f"The two policies share none of their {len(ours)} and {len(theirs)} judged episodes, so they cannot be "
            "compared in pairs; play both on the same tasks and seeds."
        )
    differences: dict[str, list[float]] = {}
    for name in shared:
        differences.setdefault(name[0], []).append(ours[name] - theirs[name])
    cells = [np.array(values) for values in differences.values()]
    value = float(100 * np.mean([cell.mean() for cell in cells]))
    spread = all(len(cell) >= _FEWEST for cell in cells)
    drawn = 100 * np.mean([resampled_means(cell, config, stream) for stream, cell in enumerate(cells)], axis=0)
    gaps = np.concatenate(cells)
    return Comparison(
        macro=Difference(value, percentiles(drawn, config) if spread else Interval(-100.0, 100.0)),
        pairs=len(shared),
        unpaired=len(ours.keys() ^ theirs.keys()),
        higher=int((gaps > 0).sum()),
        lower=int((gaps < 0).sum()),
    )


def resampled_means(
    values: npt.NDArray[np.float64], config: BootstrapConfig, stream: int = 0
) -> npt.NDArray[np.float64]:
    """Means ``[samples]`` of as many draws with replacement as there are values; the same for the same arguments.

    Groups that are resampled side by side need a ``stream`` each: with one they would move together.
    """
    random = np.random.default_rng([config.seed, stream])
    means: npt.NDArray[np.float64] = values[random.integers(0, len(values), (config.samples, len(values)))].mean(axis=1)
    return means


def percentiles(draws: npt.NDArray[np.float64], config: BootstrapConfig) -> Interval:
    """The percentile interval of bootstrap draws ``[samples]``."""
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high))


def _weighted(
    draws: Mapping[str, npt.NDArray[np.float64]], known: Mapping[str, npt.NDArray[np.float64]], config: BootstrapConfig
) -> Interval:
    weights = [len(values) for values in known.values()]
    return percentiles(np.average(list(draws.values()), axis=0, weights=weights), config)


def _by_task(scored: Sequence[Scored], missing: float = np.nan) -> dict[str, npt.NDArray[np.float64]]:
    cells: dict[str, list[float]] = {}
    for each in scored:
        cells.setdefault(each.task, []).append(missing if each.score is None else each.score)
    return {task: np.array(values) for task, values in cells.items()}


def _episodes(scored: Sequence[Scored]) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for each in scored:
        if each.score is None:
            continue
        if (each.task, each.seed) in found:
            raise UnpairedError(
                f"The episode {each.task} with seed {each.seed} was judged twice for one policy; compare one run each."
            )
        found[each.task, each.seed] = each.score
    return found
