"""LeRobot's language columns (v3.1) read as embodied reasoning, frame by frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dualvla_core.episodes.canonical import TIME_STEP_S
from dualvla_core.episodes.reasoning import parse_reasoning
from dualvla_core.schemas import REASONING

PERSISTENT = "language_persistent"
EVENTS = "language_events"

_Row = Mapping[str, Any]


def frame_reasoning(rows: pa.Table, timestamps: npt.NDArray[np.float64]) -> pa.Array | None:
    """The reasoning of each frame as `schemas.REASONING`; None when the episode has none at all.

    A row of ``language_persistent`` is in force from its timestamp until the next row of the same style, so a frame
    carries, for each style in order of first appearance, the row in force; a row of ``language_events`` belongs to its
    own frame only and follows them; one without a style holds whole pieces, a line each, as our export writes them.
    What the user says (such as rephrasings of the task) is no reasoning.

    Args:
        rows: the episode's T frames with either column, both or none.
        timestamps: ``[T]`` the recorded times in seconds, on the clock of the language rows.
    """
    persistent = _spoken(rows, PERSISTENT)
    events = _spoken(rows, EVENTS)
    if not any(persistent) and not any(events):
        return None
    frames = [
        _in_force(standing, float(time)) + [piece for row in happening for piece in _pieces(row)]
        for standing, happening, time in zip(persistent, events, timestamps, strict=True)
    ]
    return pa.array(frames, REASONING)


def _spoken(rows: pa.Table, column: str) -> list[Sequence[_Row]]:
    """Per frame the rows of the robot's own words; equal neighbours, the rule in this format, are parsed once."""
    if column not in rows.column_names:
        return [()] * rows.num_rows
    parsed: list[Sequence[_Row]] = []
    before: pa.Scalar | None = None
    for scalar in rows[column]:
        if before is None or not scalar.equals(before):
            rows_said = [row for row in scalar.as_py() or () if row["role"] != "user" and row["content"]]
            found = [row for row in rows_said if row["style"] or column == EVENTS]
            before = scalar
        parsed.append(found)
    return parsed


def _in_force(rows: Sequence[_Row], time: float) -> list[dict[str, str]]:
    begun = [row for row in rows if row["timestamp"] <= time + TIME_STEP_S]
    latest = {row["style"]: row for row in sorted(begun, key=lambda row: float(row["timestamp"]))}
    styles = dict.fromkeys(row["style"] for row in rows)
    return [_piece(latest[style]) for style in styles if style in latest]


def _pieces(row: _Row) -> list[dict[str, str]]:
    if row["style"]:
        return [_piece(row)]
    return [{"style": style, "content": content} for style, content in parse_reasoning(row["content"])]


def _piece(row: _Row) -> dict[str, str]:
    return {"style": row["style"], "content": row["content"]}
