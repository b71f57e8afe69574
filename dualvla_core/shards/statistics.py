"""Normalisation statistics of actions and states, per embodiment."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from dualvla_core.shards.sketch import QUANTILE_ERROR, Sketch, describe

STATISTICS_FILE = "statistics.json"


_BLOCK_ROWS = 1 << 18
"""Rows that are counted at once: a sketch takes thousands about as fast as one."""


class _Signal:
    """What was gathered of one signal of an embodiment: sketches per dimension, and rows not counted yet."""

    def __init__(self) -> None:
        self.sketches: list[Sketch] = []
        self._waiting: list[NDArray[np.float32]] = []
        self._rows = 0  # that wait

    def add(self, values: NDArray[np.float32]) -> None:
        """Take ``values`` ``[N, D]``; `ArtifactError` when D differs from before."""
        self.sketches = self.sketches or [Sketch() for _ in range(values.shape[1])]
        if values.shape[1] != len(self.sketches):
            raise ArtifactError(f"{len(self.sketches)} dimensions in one episode and {values.shape[1]} in another")
        self._waiting.append(values)
        self._rows += len(values)
        if self._rows >= _BLOCK_ROWS:
            self.flush()

    def flush(self) -> None:
        """Count the rows that wait."""
        if self._waiting:
            block = np.concatenate(self._waiting)
            for sketch, column in zip(self.sketches, block.T, strict=True):
                sketch.add(column)
            self._waiting, self._rows = [], 0


@dataclass
class _Gathered:
    """What was gathered of one embodiment."""

    embodiment: Embodiment
    signals: dict[str, _Signal] = field(default_factory=lambda: {"action": _Signal(), "state": _Signal()})
    frames: int = 0
    episodes: int = 0


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
    are not finite are left out. Signals stream through mergeable sketches, in memory that does not grow with the data,
    and images are never read; quantiles are within `sketch.QUANTILE_ERROR` (relative) of the exact ones, all else is
    exact.

    Raises `ArtifactError` when an episode is in none of the ``segments``, or signals differ in width within an
    embodiment.
    """
    wanted, found = set(episodes), set[str]()
    gathered: dict[str, _Gathered] = {}
    for done, folder in enumerate(segments):
        segment = Segment(folder)
        entry = gathered.setdefault(segment.embodiment.name, _Gathered(segment.embodiment))
        for position, episode in enumerate(segment.episodes["episode"].to_pylist()):
            if episode in wanted and episode not in found:
                _gather(segment.signals(position), entry)
                found.add(episode)
        progress(done + 1, len(segments))
    if wanted - found:
        raise ArtifactError(
            f"{len(wanted - found)} of {len(wanted)} training episodes are in none of the {len(segments)} segments "
            f"(the first is {min(wanted - found)}); decode them first."
        )
    statistics = {name: _of_embodiment(params, entry) for name, entry in gathered.items() if entry.episodes}
    (output / STATISTICS_FILE).write_text(json.dumps(statistics, indent=2, sort_keys=True) + "\n")
    return {
        "embodiments": len(statistics),
        "transitions": sum(each["num_transitions"] for each in statistics.values()),
        "trajectories": sum(each["num_trajectories"] for each in statistics.values()),
        "quantile_error": QUANTILE_ERROR,
    }


def _gather(batch: pa.RecordBatch, entry: _Gathered) -> None:
    name = entry.embodiment.name
    for column, signal in entry.signals.items():
        values = matrix(batch.column(column), f"The column {column!r} of an episode of {name}")
        try:
            if values is not None:
                signal.add(values)
        except ArtifactError as error:
            raise ArtifactError(
                f"{column.capitalize()}s of {name} have {error}; give the second robot an embodiment of its own."
            ) from None
    entry.frames += batch.num_rows
    entry.episodes += 1


def _of_embodiment(params: StatisticsConfig, entry: _Gathered) -> dict[str, Any]:
    result: dict[str, Any] = {"num_transitions": entry.frames, "num_trajectories": entry.episodes}
    for name, grippers_of in (("action", gripper_actions), ("state", gripper_states)):
        signal = entry.signals[name]
        signal.flush()
        if signal.sketches:
            skipped = grippers_of(entry.embodiment, len(signal.sketches)) & (not params.normalise_grippers)
            result[name] = describe(signal.sketches) | {"mask": (~skipped).tolist()}
    return result
