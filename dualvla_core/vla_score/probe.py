"""Whether a judge sees what it should: every planted defect against every dimension, beside clean pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from dualvla_core.evaluation.statistics import Interval
from dualvla_core.vla_score.config import BootstrapConfig, ProbeConfig
from dualvla_core.vla_score.defects import COLUMNS, DEFECTS, Column
from dualvla_core.vla_score.judge import Verdict
from dualvla_core.vla_score.score import percentiles, resampled_means


@dataclass(frozen=True)
class JudgedPair:
    """A defective trajectory's verdict beside that of the clean one; None where a verdict is missing."""

    defect: str
    severity: float
    clean: Verdict | None
    defective: Verdict | None
    clean_success: bool
    defective_success: bool


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


def _drop(pair: JudgedPair, column: Column) -> float | None:
    if column == "success":
        return 10.0 * (pair.clean_success - pair.defective_success)
    if pair.clean is None or pair.defective is None:
        return None
    before, after = getattr(pair.clean, column), getattr(pair.defective, column)
    return None if before is None or after is None else float(before - after)


def _graded(column: Sequence[Cell], slack: float) -> bool:
    drops = [cell.drop for cell in sorted(column, key=lambda cell: cell.severity)]
    return all(worse >= milder - slack for milder, worse in pairwise(drops))
