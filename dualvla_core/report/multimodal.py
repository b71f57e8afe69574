"""Counts and examples of the multimodal set."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dualvla_core import schemas
from dualvla_core.errors import ArtifactError
from dualvla_core.report.config import ReportParams
from dualvla_core.report.model import CategoryCount, MultimodalSummary
from dualvla_core.report.thumbnails import data_uri, shrink


@dataclass(frozen=True)
class Question:
    """One example the page shows."""

    source: str
    category: str
    question: str
    answer: str


def read_multimodal(folder: Path, params: ReportParams) -> tuple[MultimodalSummary, tuple[Question, ...]]:
    """Counts per category of ``multimodal.arrow``, and examples taken from the categories in turn.

    Raises:
        ArtifactError: if the folder holds no such file or one with another schema.
    """
    path = folder / "multimodal.arrow"
    if not path.is_file():
        raise ArtifactError(f"multimodal.arrow is missing from {folder.name!r}; build the multimodal set first.")
    with pa.memory_map(str(path)) as source:
        table = pa.ipc.open_file(source).read_all()
        schemas.check_schema(table.schema, schemas.MULTIMODAL, path.name)
        categories = table["category"].to_pylist()
        counts = Counter(zip(categories, table["split"].to_pylist(), strict=True))
        chosen = _in_turn(categories, params.multimodal_examples)
        rows = table.take(chosen).to_pylist() if chosen else []
    summary = MultimodalSummary(
        samples=len(categories),
        categories=tuple(
            CategoryCount(category=name, train=counts[name, "train"], held_out=counts[name, "held_out"])
            for name in sorted(set(categories))
        ),
        examples=tuple(row["sample"] for row in rows),
    )
    return summary, tuple(_question(row, params) for row in rows)


def _question(row: dict[str, Any], params: ReportParams) -> Question:
    source = data_uri(shrink(row["image"], params.thumbnail_height, params.jpeg_quality))
    return Question(source, row["category"], row["question"], row["answer"])


def _in_turn(categories: list[str], most: int) -> list[int]:
    """Row numbers: the first of every category in alphabetical order, then the second of every one, and so on."""
    seen: Counter[str] = Counter()
    places = []
    for row, category in enumerate(categories):
        places.append((seen[category], category, row))
        seen[category] += 1
    return [row for _, _, row in sorted(places)[:most]]
