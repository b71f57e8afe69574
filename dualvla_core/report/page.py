"""Renders the report as one HTML page that needs nothing else: style, script, drawings and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jinja2 import PackageLoader
from markupsafe import Markup

from dualvla_core.report import formats, svg
from dualvla_core.report.film_strip import FilmStrip, Tick
from dualvla_core.report.lineage import draw_lineage
from dualvla_core.report.model import Report
from dualvla_core.report.multimodal import Question
from dualvla_core.report.results import words
from dualvla_core.report.results.card import ModelCard
from dualvla_core.report.results.curves import PolicyCurves
from dualvla_core.report.results.outcomes import Outcomes
from dualvla_core.report.results.plane import Plane
from dualvla_core.report.results.rollouts import TaskClips
from dualvla_core.report.svg import HEIGHT, WIDTH, Scale
from dualvla_core.report.templates import templates

_BINS = 24
_FEWEST_FOR_HISTOGRAM = 12
_TONES = 5  # colours of policies in results/style.css


@dataclass(frozen=True)
class Histogram:
    """Episodes per retention ratio; ``most`` is the tallest bar's count."""

    bars: str
    most: int
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class ResultDrawings:
    """What the page draws of the trained policies beside the numbers of `Report.results`."""

    plane: Plane | None
    curves: tuple[PolicyCurves, ...]
    outcomes: Outcomes | None
    rollouts: tuple[TaskClips, ...]
    cards: tuple[ModelCard, ...]


def render_page(
    report: Report,
    film_strips: Sequence[FilmStrip],
    questions: Sequence[Question],
    drawings: ResultDrawings | None = None,
) -> str:
    """The page; every text of the data is escaped, and the content policy lets only its own script run."""
    loader = PackageLoader("dualvla_core", "report")
    page = templates(loader)
    page.filters.update(
        because=formats.because,
        camera_name=formats.camera_name,
        counted=formats.counted,
        duration=formats.duration,
        grouped=formats.grouped,
        merged=formats.merged,
        percent=formats.percent,
        short=formats.short,
        significant=formats.significant,
        spaced=formats.spaced,
        sha256_source=sha256_source,
        display_name=words.display_name,
        share=words.share,
    )
    # Globals, because templates imported for their macros see these and not the variables of the page.
    page.globals.update(
        report=report,
        film_strips=film_strips,
        questions=questions,
        results=report.results,
        drawings=drawings,
        measure_names=words.MEASURES,
        tone=lambda number: _tone(number, len(drawings.cards) if drawings else 0),
        absences_in_words=words.absences_in_words,
        protocols_in_words=words.protocols_in_words,
        drawing=draw_lineage(report.lineage),
        histogram=retention_histogram(report),
        scale=bar_scale(report),
        script=Markup(loader.get_source(page, "script.html")[0]),
    )
    return page.get_template("page.html").render()


def _tone(number: int, policies: int) -> str:
    """The class that gives a policy its colour; the last, which the report is about, always has the same."""
    return "policy-last" if number == policies - 1 else f"policy-{number % _TONES}"


def bar_scale(report: Report) -> float:
    """The ratio at which a retention bar is full: the next round one above the largest episode or group."""
    ratios = [row.ratio for row in report.episodes] + [group.ratio for group in report.by_task]
    largest = max((ratio for ratio in ratios if ratio is not None), default=0.0)
    if largest == 0:
        return 1.0
    step = svg.nice_step(largest, 5)
    return min(1.0, step * float(np.ceil(largest / step - 1e-9)))


def retention_histogram(report: Report) -> Histogram | None:
    """Episodes per retention ratio; None where there are too few to show a distribution."""
    ratios = [row.ratio for row in report.episodes if row.ratio is not None]
    if len(ratios) < _FEWEST_FOR_HISTOGRAM:
        return None
    high = bar_scale(report)
    counts = np.histogram(ratios, bins=_BINS, range=(0.0, high))[0]
    bars = svg.bars([float(count) for count in counts], Scale(0, _BINS, 0, WIDTH), Scale(0, counts.max(), HEIGHT, 0))
    ticks = tuple(Tick(100 * value / high, f"{100 * value:g} %") for value in svg.ticks(high, 5))
    return Histogram(bars, int(counts.max()), ticks)


def sha256_source(script: str) -> str:
    """The hash by which a content security policy names an inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
