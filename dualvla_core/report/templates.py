"""The one way templates are set up: strict about names, and every text of an HTML page escaped."""

from __future__ import annotations

from jinja2 import BaseLoader, Environment, StrictUndefined, select_autoescape


def templates(loader: BaseLoader) -> Environment:
    """An environment in which a misspelt name is an error; templates that end in ``.html`` escape what they show."""
    return Environment(
        loader=loader,
        autoescape=select_autoescape(["html"], default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
