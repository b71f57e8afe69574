"""Reads this project's own visual questions: a split of a multimodal shard as a benchmark."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.images import ImageTable
from dualvla_core.evaluation.benchmarks.tables import QUESTIONS, QUESTIONS_FILE, write_table
from dualvla_core.params import Summary
from dualvla_core.schemas import MULTIMODAL, check_schema

MULTIMODAL_FILE = "multimodal.arrow"


def read_question_set(shard: Path, split: str, output: Path) -> Summary:
    """Write the ``questions.parquet`` and ``images.arrow`` of one split.

    Raises `ArtifactError` when the shard cannot be read or holds no question of this split.
    """
    path = shard / MULTIMODAL_FILE
    try:
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            table = reader.read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path.name} of {shard.name!r} cannot be read; build the shard again.") from error
    check_schema(table.schema, MULTIMODAL, path.name)
    chosen = table.filter(pc.equal(table["split"], split))
    if not len(chosen):
        raise ArtifactError(f"{path.name} holds no {split} question; ask the other split or add questions.")
    with ImageTable(output) as images:
        rows = [
            {
                "index": row["sample"],
                "question": row["question"],
                "answer": row["answer"],
                "options": [],
                "category": row["category"],
                "split": row["split"],
                "images": [images.add(row["image"])],
            }
            for row in chosen.to_pylist()
        ]
        count = images.count
    write_table(rows, QUESTIONS, output / QUESTIONS_FILE)
    return {"questions": len(rows), "images": count}
