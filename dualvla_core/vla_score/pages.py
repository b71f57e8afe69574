"""Renders the pages about judges and experiments; style and script are those of the project's report."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup

from dualvla_core.report.page import sha256_source
from dualvla_core.report.templates import templates
from dualvla_core.report.thumbnails import data_uri

_LOADER = ChoiceLoader([PackageLoader("dualvla_core", package) for package in ("vla_score", "experiments", "report")])


def render(template: str, **values: Any) -> str:
    """One page that needs no other file; every text is escaped, and only the page's own script may run."""
    pages = templates(_LOADER)
    pages.filters.update(points=points, hundred=hundred, data_uri=data_uri, sha256_source=sha256_source)
    pages.globals.update(script=Markup(_LOADER.get_source(pages, "script.html")[0]))
    return pages.get_template(template).render(**values)


def points(value: float | None) -> str:
    """A statistic with two decimals and a true minus sign; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def hundred(value: float | None) -> str:
    """A number of the paper's scale of 0 to 100, with one decimal; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}".replace("-", "−")
