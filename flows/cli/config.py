"""`dualvla config`: what a run would be told, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer
from pydantic import BaseModel
from rich.table import Table

from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.tables import print_wide

app = typer.Typer(no_args_is_help=True, help="Look at the configuration.")


@app.command()
def show(preset: Preset = "demo", overrides: Overrides = []) -> None:  # noqa: B006 - typer reads the default
    """Print every value, its origin and its meaning."""
    resolved = configure(preset, overrides)
    table = Table("name", "value", "from", "meaning")
    for name, value, meaning in values_of(resolved.config):
        table.add_row(name, repr(value), resolved.origins.get(name, "default"), meaning)
    print_wide(table)


def values_of(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Every leaf of a configuration: dotted name, value, description."""
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from values_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value, field.description or ""
