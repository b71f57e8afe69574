"""Renders the pages about judges and experiments in the style of the report, and with its script."""

from __future__ import annotations

from typing import Any

from jinja2 import ChoiceLoader, PackageLoader
from markupsafe import Markup

from dualvla_core.report.page import sha256_source
from dualvla_core.report.templates import templates
from dualvla_core.report.thumbnails import data_uri


def render(package: str, template: str, **values: Any) -> str:
    """One page that needs no other file; every text is escaped, and only the page's own script may run.

    ``template`` lies in ``package`` of dualvla_core, and extends ``frame.html`` beside this module.
    """
    loader = ChoiceLoader([PackageLoader("dualvla_core", each) for each in (package, "report")])
    pages = templates(loader)
    pages.filters.update(points=points, hundred=hundred, data_uri=data_uri, sha256_source=sha256_source)
    pages.globals.update(script=Markup(loader.get_source(pages, "script.html")[0]))
    return pages.get_template(template).render(**values)


def points(value: float | None) -> str:
    """A statistic with two decimals and a true minus sign; a dash where there is none."""
    return "–" if value is None else f"{value:.2f}".replace("-", "−")


def hundred(value: float | None) -> str:
    """A number of the paper's scale of 0 to 100, with one decimal; a dash where there is none."""
    return "–" if value is None else f"{value:.1f}".replace("-", "−")
