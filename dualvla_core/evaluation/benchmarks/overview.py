"""All benchmarks of a policy in one table, and the mean of the eight that the paper reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.scoring import OVERALL
from dualvla_core.evaluation.benchmarks.tables import (
    GROUPS,
    GROUPS_FILE,
    OVERVIEW,
    OVERVIEW_FILE,
    read_rows,
    write_table,
)
from dualvla_core.params import Summary


def summarise_benchmarks(scored: Sequence[tuple[str, Path]], output: Path) -> Summary:
    """Write ``benchmarks.parquet`` from the folders of scored benchmarks, each with its name.

    Returns:
        Every complete benchmark's score on 0 to 100 by its name; ``mean_of_eight`` where all eight of the paper are
        complete, else ``without_mean``, which names what is missing.
    """
    rows = [{"benchmark": name, **_overall(folder)} for name, folder in scored]
    write_table(rows, OVERVIEW, output / OVERVIEW_FILE)
    scores = {row["benchmark"]: row["score"] for row in rows if row["score"] is not None}
    absent = [_why_absent(name, rows) for name in CATALOGUE if name not in scores]
    if absent:
        return {**scores, "without_mean": "; ".join(absent)}
    return {**scores, "mean_of_eight": mean_of_eight(scores)}


def mean_of_eight(scores: Mapping[str, float]) -> float:
    """The plain mean of the eight scores, each on 0 to 100 (OCRBench: a tenth of its 1000 points)."""
    return sum(scores[name] for name in CATALOGUE) / len(CATALOGUE)


def _overall(folder: Path) -> dict[str, Any]:
    rows = read_rows(folder / GROUPS_FILE, GROUPS)
    row = next(row for row in rows if row["level"] == OVERALL and row["split"] is None)
    percent = {name: None if row[name] is None else 100 * row[name] for name in ("score", "low", "high")}
    return {**{name: row[name] for name in ("items", "missing", "unparsed")}, **percent}


def _why_absent(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    row = next((row for row in rows if row["benchmark"] == name), None)
    return f"{name} was not run" if row is None else f"{name} misses {row['missing']} of {row['items']}"
