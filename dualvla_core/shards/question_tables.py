"""Questions about images in a benchmark's table (VLMEvalKit's TSV layout), as samples of a multimodal shard."""

from __future__ import annotations

import ast
import string
from pathlib import Path
from typing import Any

import polars as pl

from dualvla_core.errors import DatasetError, EpisodeError
from dualvla_core.evaluation.benchmarks.config import PromptConfig
from dualvla_core.evaluation.benchmarks.prompts import build_prompt
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.tsv import encoded_images, image_column, read_table, shared_image

TABLE_SUFFIX = ".tsv"


class TableImages:
    """The images in the cells of a table, or in the files its cells name; named by the index of their row."""

    def __init__(self, table: pl.DataFrame, path: Path) -> None:
        self._column, self._path = image_column(table), path
        self._cells = dict(zip(table["index"], table[self._column], strict=True)) if self._column else {}

    def name_of(self, index: str) -> str:
        """The row whose image a row shows: several may share one."""
        return shared_image(self._cells.get(index)) or index

    def read(self, name: str) -> bytes:
        """See `conversations.Images.read`; a sample holds one image."""
        if not self._cells.get(name):
            raise EpisodeError("the sample has no image")
        try:
            found = encoded_images(name, self._column, self._cells, self._path)
        except DatasetError as error:
            raise EpisodeError(str(error)) from error
        if len(found) != 1:
            raise EpisodeError(f"the sample has {len(found)} images, expected one")
        return found[0]


def read_question_table(path: Path) -> tuple[list[Any], TableImages]:
    """The rows as conversations of one question, asked as the benchmark asks it and answered as its table does.

    A row without an answer has an empty one, and will be left out with that reason. The table's own split is not used:
    it tells what a benchmark counts, not what may be trained on. Raises `DatasetError` when there is no such table.
    """
    table = read_table(path)
    images = TableImages(table, path)
    return [_sample(row, images) for row in table.drop("image", strict=False).iter_rows(named=True)], images


def _sample(row: dict[str, Any], images: TableImages) -> dict[str, Any]:
    options = {letter: row[letter] for letter in string.ascii_uppercase if row.get(letter) is not None}
    question = Question(
        index=row["index"], text=row["question"] or "", answer="", options=options, hint=row.get("hint")
    )
    asked = (
        build_prompt(PromptConfig(style="multiple_choice" if options else "question"), question)
        if question.text
        else ""
    )
    turns = [{"from": "human", "value": asked}, {"from": "gpt", "value": _answer(row.get("answer"))}]
    sample = {"id": row["index"], "image": images.name_of(row["index"]), "conversations": turns}
    return sample | ({"category": row["category"]} if row.get("category") else {})


def _answer(cell: str | None) -> str:
    """The cell, or the first of the accepted answers where it lists several."""
    if cell is None or not (cell.startswith("[") and cell.endswith("]")):
        return cell or ""
    try:
        return str(ast.literal_eval(cell)[0])
    except (ValueError, SyntaxError, IndexError):
        return cell
