"""Results in the layout of the paper's tables, and what others have published in the same columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Literal, TypeAlias

import yaml
from pydantic import Field

from dualvla_core.params import Params

TableName: TypeAlias = Literal["simpler_env", "multimodal"]

TASK_COLUMNS: Mapping[str, str] = {
    "widowx_spoon_on_towel": "Spoon",
    "widowx_carrot_on_plate": "Carrot",
    "widowx_stack_cube": "Stack",
    "original_spoon_on_towel": "Spoon",
    "original_carrot_on_plate": "Carrot",
    "original_stack_cube": "Stack",
    "original_pick_can_vm": "Pick can VM",
    "original_pick_can_va": "Pick can VA",
    "original_move_near_vm": "Move near VM",
    "original_move_near_va": "Move near VA",
    "original_drawer_vm": "Drawer VM",
    "original_drawer_va": "Drawer VA",
}
"""The column that a task of SimplerEnv is. Variants have equally many episodes, so that the mean over all of a column's
episodes is SimplerEnv's mean over variants."""


class PublishedRow(Params):
    """One line of a published table."""

    cells: tuple[float | None, ...] = Field(description="Percent, by column; none where nothing was reported.")
    printed: float | None = Field(default=None, description="The average as printed.")
    other_columns: bool = Field(default=False, description="The printed average is not the mean of these columns.")


class PublishedTable(Params):
    """A table of somebody else's results."""

    source: str = Field(description="Where it is from.")
    columns: tuple[str, ...] = Field(description="Its columns.")
    rows: dict[str, PublishedRow] = Field(description="Its lines, by method.")


def published_table(name: TableName) -> PublishedTable:
    """A table that ships with the project."""
    text = (files("dualvla_core.evaluation") / "published.yaml").read_text(encoding="utf-8")
    return PublishedTable.model_validate(yaml.safe_load(text)[name])


def average(cells: Sequence[float | None]) -> float | None:
    """The plain mean over all columns, as the paper averages; None where a column is missing."""
    known = [cell for cell in cells if cell is not None]
    return sum(known) / len(known) if known and len(known) == len(cells) else None


def own_line(table: PublishedTable, cells: Mapping[str, float]) -> list[str]:
    """Measured percentages by column as texts, their average last; a dash where nothing was measured."""
    values = [cells.get(column) for column in table.columns]
    return [_text(value) for value in (*values, average(values))]


def published_lines(table: PublishedTable) -> list[list[str]]:
    """Every published line as texts: method, cells, average as printed (or else ours).

    An asterisk marks a printed average that is not the mean of the columns.
    """
    lines = []
    for name, row in table.rows.items():
        mean = average(row.cells) if row.printed is None else row.printed
        lines.append([name, *(_text(cell) for cell in row.cells), _text(mean) + "*" * row.other_columns])
    return lines


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
