"""Grades given by people, in CSV files."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from dualvla_core.errors import UserError
from dualvla_core.vla_score.judge import DIMENSIONS

GRADES = tuple(range(11))

Ratings: TypeAlias = Mapping[str, Mapping[str, int]]
"""Trajectory digest to grades by dimension."""


class RatingsError(UserError):
    """Ratings that cannot be read or compared."""


def ratings_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The ratings in the rows of a verdict table; missing verdicts are no ratings."""
    return {
        row["trajectory"]: {name: row[name] for name in DIMENSIONS if row[name] is not None}
        for row in rows
        if row["missing"] is None
    }


def read_human_ratings(path: Path) -> tuple[str, dict[str, dict[str, int]]]:
    """Reviewers' names and ratings of a CSV with the columns trajectory, reviewer, kind and the four dimensions.

    Only rows with a reviewer whose ``kind`` is ``human`` count: ratings by a model are never taken for a person's.

    Raises:
        RatingsError: when the file cannot be read, lacks a column, rates a trajectory twice, or holds no rating by a
            person.
    """
    ratings: dict[str, dict[str, int]] = {}
    reviewers = set()
    rows = read_rows(path, ("trajectory", "reviewer", "kind", *DIMENSIONS))
    for line, row in enumerate(rows, 2):
        reviewer, where = (row["reviewer"] or "").strip(), f"{path.name}, line {line}"
        rated = row["trajectory"] or ""
        if not reviewer or (row["kind"] or "").strip().lower() != "human":
            continue
        if rated in ratings:
            raise RatingsError(f"{where} rates {rated!r} a second time; keep one row per trajectory.")
        reviewers.add(reviewer)
        grades = {name: grade_of(row[name], f"{where}, {name}") for name in DIMENSIONS}
        ratings[rated] = {name: grade for name, grade in grades.items() if grade is not None}
    if not ratings:
        raise RatingsError(
            f"None of the {len(rows)} rows of {path.name} is a person's rating; fill in the column reviewer, and the "
            "column kind with human where a person rated."
        )
    return ", ".join(sorted(reviewers)), ratings


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str | None]]:
    """The rows of a CSV file. Raises `RatingsError` when it cannot be read or lacks a needed column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows: list[dict[str, str | None]] = list(reader)
            names = reader.fieldnames or []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RatingsError(f"The ratings {path} cannot be read ({error}); name a CSV file in UTF-8.") from error
    absent = [name for name in needed if name not in names]
    if absent:
        raise RatingsError(f"The ratings {path.name} lack the column {absent[0]!r}; expected {', '.join(needed)}.")
    return rows


def grade_of(text: str | None, where: str) -> int | None:
    """A grade written by a person; None for an empty cell. Raises `RatingsError` for anything but 0 to 10."""
    written = (text or "").strip()
    if not written:
        return None
    if not written.isdecimal() or int(written) not in GRADES:
        raise RatingsError(f"{where} is {written!r}; expected a whole number from 0 to 10, or nothing.")
    return int(written)
