"""What a rule says about one answer."""

from __future__ import annotations

import ast
from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """How much an answer is worth, and what was understood of it."""

    value: float | None
    """In [0, 1]; None is *missing*: nobody could tell (a judge that failed), which is not the same as wrong."""
    understood: str | None
    """What was read out of the answer: an option's letter, a normalised text; None where nothing was."""
    note: str | None = None
    """Why there is nothing to count, in words."""


def accepted_answers(cell: str) -> tuple[str, ...]:
    """The answers a TSV cell accepts: the elements of a list written as Python does, else the cell itself."""
    if not cell.lstrip().startswith("["):
        return (cell,)
    try:
        found = ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError, RecursionError):
        return (cell,)
    return tuple(str(each) for each in found) if isinstance(found, list) else (cell,)
