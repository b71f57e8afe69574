"""Renders the report as one HTML page that needs nothing else: style, script, drawings and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from pydantic import JsonValue

from dualvla_core.report import svg
from dualvla_core.report.film_strip import FilmStrip, Tick
from dualvla_core.report.lineage import draw_lineage
from dualvla_core.report.model import CurationReport
from dualvla_core.report.multimodal import Question
from dualvla_core.report.svg import HEIGHT, WIDTH, Scale

_BINS = 24
_FEWEST_FOR_HISTOGRAM = 12


@dataclass(frozen=True)
class Histogram:
    """Episodes per retention ratio; ``most`` is the tallest bar's count."""

    bars: str
    most: int
    ticks: tuple[Tick, ...]


def render_page(report: CurationReport, film_strips: Sequence[FilmStrip], questions: Sequence[Question]) -> str:
    """The page; every text of the data is escaped, and the content policy lets only its own script run."""
    loader = PackageLoader("dualvla_core", "report")
    page = Environment(
        loader=loader,
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    page.filters.update(
        grouped=grouped,
        percent=percent,
        duration=duration,
        counted=counted,
        short=short,
        spaced=spaced,
        camera_name=camera_name,
        flattened=flattened,
        sha256_source=sha256_source,
        significant=significant,
        because=because,
    )
    # Globals, because templates imported for their macros see these and not the variables of the page.
    page.globals.update(
        report=report,
        film_strips=film_strips,
        questions=questions,
        drawing=draw_lineage(report.lineage),
        histogram=retention_histogram(report),
        scale=bar_scale(report),
        script=Markup(loader.get_source(page, "script.html")[0]),
    )
    return page.get_template("curation.html").render()


def bar_scale(report: CurationReport) -> float:
    """The ratio at which a retention bar is full: the next round one above the largest episode or group."""
    ratios = [row.ratio for row in report.episodes] + [group.ratio for group in report.by_task]
    largest = max((ratio for ratio in ratios if ratio is not None), default=0.0)
    if largest == 0:
        return 1.0
    step = svg.nice_step(largest, 5)
    return min(1.0, step * float(np.ceil(largest / step - 1e-9)))


def retention_histogram(report: CurationReport) -> Histogram | None:
    """Episodes per retention ratio; None where there are too few to show a distribution."""
    ratios = [row.ratio for row in report.episodes if row.ratio is not None]
    if len(ratios) < _FEWEST_FOR_HISTOGRAM:
        return None
    high = bar_scale(report)
    counts = np.histogram(ratios, bins=_BINS, range=(0.0, high))[0]
    bars = svg.bars([float(count) for count in counts], Scale(0, _BINS, 0, WIDTH), Scale(0, counts.max(), HEIGHT, 0))
    ticks = tuple(Tick(100 * value / high, f"{100 * value:g} %") for value in svg.ticks(high, 5))
    return Histogram(bars, int(counts.max()), ticks)


def grouped(count: int) -> str:
    """A count with thin spaces between thousands."""
    return f"{count:,}".replace(",", "\u202f")


def counted(count: int, noun: str) -> str:
    """A count with its noun, in the plural where it is not one."""
    return f"{grouped(count)} {noun}{'' if count == 1 else 's'}"


def percent(ratio: float | None) -> str:
    """A share of one in percent with one decimal; a dash where nothing was considered."""
    return "–" if ratio is None else f"{100 * ratio:.1f}\u00a0%"


def duration(seconds: float) -> str:
    """Seconds in the largest two fitting units."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def short(digest: str) -> str:
    """Enough of a digest to find it again."""
    return digest.removeprefix("sha256:")[:10]


def spaced(stage: str) -> str:
    """A stage's name as words."""
    return stage.replace("_", " ")


def camera_name(camera: str) -> str:
    """The last part of a camera's dotted name, as words."""
    return camera.rsplit(".", 1)[-1].replace("_", " ")


def significant(value: float | None) -> str:
    """A measured number with four significant digits and a true minus sign; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}".replace("-", "−")


def because(rule: str) -> str:
    """A rule's sentence without the verdict, which has a column of its own."""
    return rule.removeprefix("kept: ").removeprefix("dropped: ")


def flattened(values: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested parameters as dotted names with their values in words."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _in_words(value)


def sha256_source(script: str) -> str:
    """The hash by which a content security policy names an inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(_in_words(item) for item in value) if isinstance(value, list) else str(value)
