"""Whether a judge sees what it should: every planted defect against every dimension, beside clean pairs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.evaluation.statistics import Interval
from dualvla_core.evaluation.trajectory import read_trajectories
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.report.pages import render
from dualvla_core.vla_score.config import BootstrapConfig, ProbeConfig, ScoreConfig
from dualvla_core.vla_score.defects import COLUMNS, DEFECTS, Column, plant_all
from dualvla_core.vla_score.experts import clean_folder, jitter_folder
from dualvla_core.vla_score.judge import DIMENSIONS, Judge
from dualvla_core.vla_score.score import percentiles, resampled_means
from dualvla_core.vla_score.stage import judge_all

Row: TypeAlias = Mapping[str, Any]
"""A row of the verdict table."""

CELLS = pa.schema(
    [
        pa.field("defect", pa.string(), False),
        pa.field("severity", pa.float64(), False),
        pa.field("column", pa.string(), False),
        pa.field("drop", pa.float64(), False),  # points of 10
        pa.field("low", pa.float64(), False),
        pa.field("high", pa.float64(), False),
        pa.field("pairs", pa.int64(), False),
        pa.field("missing", pa.int64(), False),
        pa.field("expected", pa.bool_(), False),
    ]
)
"""Defect x severity x column."""


@dataclass(frozen=True)
class JudgedPair:
    """A defective trajectory's row of the verdict table beside that of the clean one."""

    defect: str
    severity: float
    clean: Row
    defective: Row


@dataclass(frozen=True)
class Cell:
    """How far one defect at one severity lowers one column, in points of 10 (success: 10 points)."""

    defect: str
    severity: float
    column: Column
    drop: float
    """Mean of clean minus defective, over the pairs."""
    interval: Interval
    pairs: int
    missing: int
    """Pairs without one of their verdicts."""
    expected: bool
    """Whether the defect must lower this column."""


@dataclass(frozen=True)
class Finding:
    """What the probe says about one defect."""

    defect: str
    noticed: bool
    """At the worst severity every column that must fall falls far enough, and its interval excludes no fall."""
    graded: bool
    """No severity's fall is much larger than that of a worse one."""
    spared: bool
    """At every severity the other columns stay nearly what they were."""

    @property
    def passed(self) -> bool:
        """All three."""
        return self.noticed and self.graded and self.spared


def probe_judge(
    configs: tuple[ScoreConfig, ProbeConfig, Sequence[float]],
    recording: Path,
    judge: Judge,
    output: Path,
    progress: Progress = silent,
    *,
    workers: int = 1,
) -> Summary:
    """Judge every clean and every defective trajectory; write ``probe.parquet``, ``probe.json`` and ``probe.html``.

    Args:
        configs: intervals, limits, and the levels of jitter that were recorded.
        recording: folder of `record_experts`.
        judge: the judge to probe.
        output: an empty folder.
        progress: told the number of trajectories judged.
        workers: trajectories judged at once.

    Returns:
        How many defects are judged as they should be, and which are not.
    """
    score, limits, levels = configs
    clean = list(read_trajectories(clean_folder(recording)))
    jittered = {level: list(read_trajectories(jitter_folder(recording, level))) for level in levels}
    planted = list(plant_all(clean, jittered))
    everything = [*clean, *(each.defective for each in planted)]
    rows = []
    for row in judge_all(iter(everything), judge, workers):
        rows.append(row)
        progress(len(rows), len(everything))
    before = {id(trajectory): row for trajectory, row in zip(clean, rows, strict=False)}
    pairs = [
        JudgedPair(each.defect, each.severity, before[id(each.clean)], after)
        for each, after in zip(planted, rows[len(clean) :], strict=True)
    ]
    cells = tabulate(pairs, score.bootstrap)
    findings = conclude(cells, limits)
    _write(cells, findings, limits, judge, rows[: len(clean)], rows, output)
    failed = [finding.defect for finding in findings if not finding.passed]
    return {
        "judge": str(judge.identity),
        "defects": len(findings),
        "judged as they should be": len(findings) - len(failed),
        "not": ", ".join(failed) or "none",
        "missing verdicts": sum(row["missing"] is not None for row in rows),
    }


def tabulate(pairs: Iterable[JudgedPair], bootstrap: BootstrapConfig) -> list[Cell]:
    """Defect x severity x column, in the order of `DEFECTS` and `COLUMNS`; cells without any pair are left out."""
    groups: dict[tuple[str, float], list[JudgedPair]] = {}
    for pair in pairs:
        groups.setdefault((pair.defect, pair.severity), []).append(pair)
    lowered = {defect.name: defect.lowers for defect in DEFECTS}
    cells = []
    for (defect, severity), members in groups.items():
        for column in COLUMNS:
            drops = np.array([drop for each in members if (drop := _drop(each, column)) is not None])
            if not len(drops):
                continue
            cells.append(
                Cell(
                    defect=defect,
                    severity=severity,
                    column=column,
                    drop=float(drops.mean()),
                    interval=percentiles(resampled_means(drops, bootstrap), bootstrap),
                    pairs=len(drops),
                    missing=len(members) - len(drops),
                    expected=column in lowered[defect],
                )
            )
    return cells


def conclude(cells: Sequence[Cell], limits: ProbeConfig) -> list[Finding]:
    """One finding per defect of the table."""
    findings = []
    for defect in dict.fromkeys(cell.defect for cell in cells):
        own = [cell for cell in cells if cell.defect == defect]
        wanted = {cell.column: [each for each in own if each.column == cell.column] for cell in own if cell.expected}
        worst = [max(column, key=lambda cell: cell.severity) for column in wanted.values()]
        findings.append(
            Finding(
                defect=defect,
                noticed=bool(worst) and all(c.drop >= limits.least_fall and c.interval.low > 0 for c in worst),
                graded=all(_graded(column, limits.slack) for column in wanted.values()),
                spared=all(abs(cell.drop) <= limits.most_elsewhere for cell in own if not cell.expected),
            )
        )
    return findings


def _write(
    cells: Sequence[Cell],
    findings: Sequence[Finding],
    limits: ProbeConfig,
    judge: Judge,
    clean: Sequence[Row],
    rows: Sequence[Row],
    output: Path,
) -> None:
    table = [{**asdict(cell), "low": cell.interval.low, "high": cell.interval.high} for cell in cells]
    pq.write_table(pa.Table.from_pylist(table, CELLS), output / "probe.parquet", compression="zstd")
    told = {"judge": judge.identity.model_dump(), "findings": [{**asdict(f), "passed": f.passed} for f in findings]}
    (output / "probe.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    for cell in table:
        cell["leaked"] = not cell["expected"] and abs(cell["drop"]) > limits.most_elsewhere
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    for cell in table:
        groups.setdefault((cell["defect"], cell["severity"]), {})[cell["column"]] = cell
    means = {
        name: float(np.mean(known))
        for name in DIMENSIONS
        if (known := [r[name] for r in clean if r.get(name) is not None])
    }
    reasons = [row["missing"] for row in rows if row["missing"] is not None]
    page = render(
        "vla_score",
        "probe.html",
        judge=str(judge.identity),
        columns=COLUMNS,
        rows=[
            {"defect": defect, "severity": severity, "cells": own, "pairs": max(cell["pairs"] for cell in own.values())}
            for (defect, severity), own in groups.items()
        ],
        findings=findings,
        meanings={defect.name: defect.meaning for defect in DEFECTS},
        limits=limits,
        missing=len(reasons),
        reason=reasons[0] if reasons else "",
        clean={"count": len(clean), "means": means},
    )
    (output / "probe.html").write_text(page, encoding="utf-8")


def _drop(pair: JudgedPair, column: Column) -> float | None:
    before, after = pair.clean.get(column), pair.defective.get(column)
    if column == "success":
        return 10.0 * (bool(before) - bool(after))
    return None if before is None or after is None else float(before - after)


def _graded(column: Sequence[Cell], slack: float) -> bool:
    drops = [cell.drop for cell in sorted(column, key=lambda cell: cell.severity)]
    return all(worse >= milder - slack for milder, worse in pairwise(drops))
