"""The record of a training: one JSON line per step, without clocks, so that equal trainings write equal files."""

from __future__ import annotations

import json
import shutil
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualvla_core.training.tracking import Tracker

METRICS_FILE = "metrics.jsonl"
_RECENT = 50  # robot steps the summary averages over


class Metrics:
    """Writes ``metrics.jsonl`` into ``folder``: step, domain, every loss term, gradient norm and learning rate.

    ``trackers`` hear of every line as well.
    """

    def __init__(self, folder: Path, trackers: Sequence[Tracker] = ()) -> None:
        self._path = folder / METRICS_FILE
        self._trackers = trackers

    def add(self, step: int, domain: str, values: Mapping[str, float]) -> None:
        """Append what was measured at ``step`` (from 1)."""
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, "domain": domain, **values}) + "\n")
        for tracker in self._trackers:
            tracker.add(step, domain, values)

    def save(self, folder: Path) -> None:
        """Copy the record so far into a checkpoint."""
        shutil.copyfile(self._path, folder / METRICS_FILE)

    def load(self, folder: Path) -> None:
        """Go on from the record of a checkpoint."""
        shutil.copyfile(folder / METRICS_FILE, self._path)

    def recent(self, domain: str) -> dict[str, float]:
        """The mean of each value over the last steps of ``domain``."""
        lines = deque(
            (line for line in map(json.loads, self._path.read_text().splitlines()) if line["domain"] == domain),
            maxlen=_RECENT,
        )
        names = [name for name in (lines[-1] if lines else {}) if name not in {"step", "domain", "learning_rate"}]
        return {name: sum(line[name] for line in lines) / len(lines) for name in names}
