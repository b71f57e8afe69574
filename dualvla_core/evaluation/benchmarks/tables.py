"""The tables the benchmark stages hand to each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.schemas import check_schema

QUESTIONS_FILE, IMAGES_FILE = "questions.parquet", "images.arrow"
PREDICTIONS_FILE = "predictions.parquet"
GROUPS_FILE = "groups.parquet"
OVERVIEW_FILE = "benchmarks.parquet"

QUESTIONS = pa.schema(
    [
        pa.field("index", pa.string(), False),  # names the question within its benchmark
        pa.field("question", pa.string(), False),
        pa.field("answer", pa.string()),  # null in test splits
        pa.field(
            "options",
            pa.list_(pa.struct([pa.field("letter", pa.string(), False), pa.field("text", pa.string(), False)])),
            False,
        ),
        pa.field("hint", pa.string()),
        pa.field("category", pa.string()),
        pa.field("super_category", pa.string()),
        pa.field("split", pa.string()),
        pa.field("group", pa.string()),  # the question it is a rotation of, where the file says so
        pa.field("images", pa.list_(pa.int32()), False),  # rows of images.arrow
    ]
)
"""One row per question, in the order of the file."""

IMAGES = pa.schema([pa.field("image", pa.binary(), False)])
"""Encoded images as they came; questions share them."""

PREDICTIONS = pa.schema([pa.field("index", pa.string(), False), pa.field("prediction", pa.string(), False)])
"""What a policy answered; a question without a row was not answered."""

GROUPS = pa.schema(
    [
        pa.field("split", pa.string()),  # null: what the benchmark reports
        pa.field("level", pa.string(), False),  # overall, l2-category, category, capability, group
        pa.field("name", pa.string(), False),
        pa.field("items", pa.int64(), False),
        pa.field("missing", pa.int64(), False),
        pa.field("unparsed", pa.int64(), False),  # answered, but nothing could be read out of the answer
        pa.field("score", pa.float64()),  # mean in [0, 1]; null while items are missing
        pa.field("low", pa.float64()),  # 95 % Wilson interval
        pa.field("high", pa.float64()),
    ]
)
"""The mean score of every group of items."""

OVERVIEW = pa.schema(
    [
        pa.field("benchmark", pa.string(), False),
        pa.field("items", pa.int64(), False),
        pa.field("missing", pa.int64(), False),
        pa.field("unparsed", pa.int64(), False),
        pa.field("score", pa.float64()),  # 0 to 100; null while items are missing
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
    ]
)
"""One row per benchmark."""


def write_table(rows: list[dict[str, Any]], schema: pa.Schema, path: Path) -> None:
    """Write rows as Parquet."""
    pq.write_table(pa.Table.from_pylist(rows, schema), path, compression="zstd")


def read_rows(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    """The rows of a table of a benchmark stage. Raises `ArtifactError` when it is missing or of another layout."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path.name} of {path.parent.name!r} cannot be read; run its stage again.") from error
    check_schema(table.schema, schema, path.name)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def question_of(row: dict[str, Any]) -> Question:
    """A row of `QUESTIONS` as the rules see it."""
    return Question(
        index=row["index"],
        text=row["question"],
        answer=row["answer"] or "",
        options={option["letter"]: option["text"] for option in row["options"]},
        hint=row["hint"],
        category=row["category"],
        super_category=row["super_category"],
        split=row["split"],
        group=row["group"],
    )
