"""Normalisation statistics of actions and states, per embodiment."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.shards.actions import gripper_actions, gripper_states
from dualvla_core.shards.config import StatisticsConfig
from dualvla_core.shards.reader import matrix

STATISTICS_FILE = "statistics.json"


class _Signals(NamedTuple):
    """What was gathered of one embodiment."""

    embodiment: Embodiment
    actions: list[NDArray[np.float32]]
    states: list[NDArray[np.float32]]
    lengths: list[int]


def compute_statistics(
    params: StatisticsConfig,
    segments: Sequence[Path],
    episodes: Collection[str],
    output: Path,
    progress: Progress = silent,
) -> Summary:
    """Write ``statistics.json``: how actions and states of ``episodes`` (the training ones) are distributed.

    The layout is that of the Open X-Embodiment tools::

        {embodiment: {"action": {"mean", "std", "min", "max", "q01", "q99", "mask"}, "state": {...},
                      "num_transitions": frames, "num_trajectories": episodes}}

    with one number per dimension; ``mask`` is false where a dimension (a gripper) is not to be normalised. Values that
    are not finite are left out. Quantiles are exact, so the two columns (4 bytes a number) are held in memory, images
    never.

    Raises `ArtifactError` when an episode is in none of the ``segments``, or signals differ in width within an
    embodiment.
    """
    wanted, found = set(episodes), set[str]()
    gathered: dict[str, _Signals] = {}
    for done, folder in enumerate(segments):
        segment = Segment(folder)
        name = segment.embodiment.name
        signals = gathered.setdefault(name, _Signals(segment.embodiment, [], [], []))
        for position, episode in enumerate(segment.episodes["episode"].to_pylist()):
            if episode in wanted and episode not in found:
                _gather(segment.signals(position), signals)
                found.add(episode)
        progress(done + 1, len(segments))
    if wanted - found:
        raise ArtifactError(
            f"{len(wanted - found)} of {len(wanted)} training episodes are in none of the {len(segments)} segments "
            f"(the first is {min(wanted - found)}); decode them first."
        )
    statistics = {name: _of_embodiment(params, signals) for name, signals in gathered.items() if signals.lengths}
    (output / STATISTICS_FILE).write_text(json.dumps(statistics, indent=2, sort_keys=True) + "\n")
    return {
        "embodiments": len(statistics),
        "transitions": sum(each["num_transitions"] for each in statistics.values()),
        "trajectories": sum(each["num_trajectories"] for each in statistics.values()),
    }


def _gather(batch: pa.RecordBatch, signals: _Signals) -> None:
    name = signals.embodiment.name
    for column, parts in (("action", signals.actions), ("state", signals.states)):
        values = matrix(batch.column(column), f"The column {column!r} of an episode of {name}")
        if values is None:
            continue
        if parts and parts[0].shape[1] != values.shape[1]:
            raise ArtifactError(
                f"{column.capitalize()}s of {name} have {parts[0].shape[1]} dimensions in one episode and "
                f"{values.shape[1]} in another; give the second robot an embodiment of its own."
            )
        parts.append(values)
    signals.lengths.append(batch.num_rows)


def _of_embodiment(params: StatisticsConfig, signals: _Signals) -> dict[str, Any]:
    result: dict[str, Any] = {"num_transitions": sum(signals.lengths), "num_trajectories": len(signals.lengths)}
    for name, parts, grippers_of in (
        ("action", signals.actions, gripper_actions),
        ("state", signals.states, gripper_states),
    ):
        if parts:
            values = np.concatenate(parts)
            skipped = grippers_of(signals.embodiment, values.shape[1]) & (not params.normalise_grippers)
            result[name] = describe(values) | {"mask": (~skipped).tolist()}
    return result


def describe(values: NDArray[np.float32]) -> dict[str, list[float | None]]:
    """Mean, standard deviation, extremes, and 1 % and 99 % quantile of each column of ``values`` ``[N, D]``.

    Values that are not finite are left out; a column without any finite value gets null.
    """
    result: dict[str, list[float | None]] = {name: [] for name in ("mean", "std", "min", "max", "q01", "q99")}
    for column in values.T:
        finite = column[np.isfinite(column)].astype(np.float64)
        numbers: list[float | None] = [None] * len(result)
        if len(finite):
            low, high = np.quantile(finite, (0.01, 0.99)).tolist()
            numbers = [finite.mean().item(), finite.std().item(), finite.min().item(), finite.max().item(), low, high]
        for name, number in zip(result, numbers, strict=True):
            result[name].append(number)
    return result
