"""Prediction files as VLMEvalKit writes and reads them: the benchmark's columns and what the policy answered."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import openpyxl
import polars as pl
from openpyxl.cell import Cell, MergedCell
from openpyxl.utils.exceptions import IllegalCharacterError, InvalidFileException

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.tables import (
    PREDICTIONS,
    PREDICTIONS_FILE,
    QUESTIONS,
    QUESTIONS_FILE,
    read_rows,
    write_table,
)
from dualvla_core.evaluation.benchmarks.tsv import read_table
from dualvla_core.params import Summary

Rows: TypeAlias = Sequence[Mapping[str, Any]]

FAILED_REQUEST = "Failed to obtain answer"
"""What VLMEvalKit writes in place of an answer that it did not get."""

_LONGEST_CELL = 32_767  # characters Excel keeps


def import_predictions(path: Path, output: Path) -> Summary:
    """Write ``predictions.parquet`` from an ``.xlsx``, ``.tsv`` or ``.json`` file.

    A JSON file holds a list of rows, or (as MMMU's own) an object from index to answer. An answer that was never given
    (`FAILED_REQUEST`) is left out, so that its question is missing and not wrong.

    Raises `DatasetError` when the file cannot be read, lacks a column, or answers a question twice.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise DatasetError(f"{path.name} is of an unknown kind; expected one of {', '.join(_READERS)}.")
    try:
        rows = list(read(path))
    except FileNotFoundError:
        raise DatasetError(f"There is no file {str(path)!r}; give the path of a prediction file.") from None
    except (OSError, ValueError, zipfile.BadZipFile, InvalidFileException) as error:
        raise DatasetError(f"{path.name} cannot be read as {path.suffix} ({error}).") from error
    answers: dict[str, str] = {}
    failed = 0
    for number, row in enumerate(rows, start=1):
        if row.get("index") is None or "prediction" not in row:
            raise DatasetError(f"Row {number} of {path.name} has no index or no prediction; expected both columns.")
        index, prediction = _text(row["index"]), _text(row["prediction"])
        if index in answers:
            raise DatasetError(f"{path.name} answers question {index} twice; keep one of the rows.")
        if FAILED_REQUEST in prediction:
            failed += 1
        else:
            answers[index] = prediction
    table = [{"index": index, "prediction": prediction} for index, prediction in answers.items()]
    write_table(table, PREDICTIONS, output / PREDICTIONS_FILE)
    return {"answers": len(answers), "failed_requests": failed}


def export_predictions(questions: Path, predictions: Path, path: Path) -> int:
    """Write an ``.xlsx``, ``.tsv`` or ``.json`` file that VLMEvalKit can score; returns the number of rows.

    Args:
        questions: folder of the benchmark.
        predictions: folder of the answers.
        path: the file; its ending tells the kind.

    Raises:
        DatasetError: for another ending, or a text that a spreadsheet cannot hold.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise DatasetError(f"{path.name} is of an unknown kind; expected one of {', '.join(_WRITERS)}.")
    given = {row["index"]: row["prediction"] for row in read_rows(predictions / PREDICTIONS_FILE, PREDICTIONS)}
    rows = [
        {**_columns(row), "prediction": given[row["index"]]}
        for row in read_rows(questions / QUESTIONS_FILE, QUESTIONS)
        if row["index"] in given
    ]
    names = [name for name in _ordered(rows) if any(row.get(name) is not None for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, names, rows)
    return len(rows)


def _columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """A question under the names of VLMEvalKit's columns."""
    options = {option["letter"]: option["text"] for option in row["options"]}
    index = int(row["index"]) if row["index"].isdecimal() else row["index"]
    return {
        "index": index,
        "question": row["question"],
        "hint": row["hint"],
        **options,
        "answer": row["answer"],
        "category": row["category"],
        "l2-category": row["super_category"],
        "split": row["split"],
        "g_index": row["group"],
    }


def _ordered(rows: Rows) -> list[str]:
    """Every column of any row, options in the order of their letters, the prediction last."""
    names = dict.fromkeys(name for row in rows for name in row)
    options = sorted(name for name in names if len(name) == 1)
    before = [name for name in ("index", "question", "hint") if name in names]
    after = [name for name in names if name not in (*before, *options, "prediction")]
    return [*before, *options, *after, "prediction"]


def _text(cell: Any) -> str:
    """A cell as text; an empty one is an empty answer, a whole number has no decimals."""
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)


def _read_xlsx(path: Path) -> Iterable[Mapping[str, Any]]:
    book = openpyxl.load_workbook(path, read_only=True)
    lines = book.worksheets[0].iter_rows(values_only=True)
    names = [str(name) for name in next(lines, ())]
    yield from (dict(zip(names, line, strict=False)) for line in lines if any(cell is not None for cell in line))
    book.close()


def _read_json(path: Path) -> Iterable[Mapping[str, Any]]:
    found = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(found, dict):
        return [{"index": index, "prediction": answer} for index, answer in found.items()]
    if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
        raise ValueError("expected a list of rows, or an object from index to answer")
    return found


def _read_tsv(path: Path) -> Iterable[Mapping[str, Any]]:
    return read_table(path).iter_rows(named=True)


def _write_xlsx(path: Path, names: Sequence[str], rows: Rows) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(list(names))
    for number, row in enumerate(rows, start=2):
        for column, name in enumerate(names, start=1):
            _fill(sheet.cell(number, column), row.get(name), path.name)
    book.save(path)


def _fill(cell: Cell | MergedCell, value: Any, file: str) -> None:
    """Set a cell; a text stays a text, even if it begins with "="."""
    if isinstance(value, str) and len(value) > _LONGEST_CELL:
        raise DatasetError(f"A text of {len(value)} characters does not fit into {file}; write a .tsv file instead.")
    try:
        cell.value = value
    except IllegalCharacterError as error:
        raise DatasetError(f"A control character does not fit into {file}; write a .tsv file instead.") from error
    if isinstance(value, str):
        cell.data_type = "s"


def _write_tsv(path: Path, names: Sequence[str], rows: Rows) -> None:
    columns = {name: [None if row.get(name) is None else str(row[name]) for row in rows] for name in names}
    pl.DataFrame(columns, schema=dict.fromkeys(names, pl.String)).write_csv(path, separator="\t", quote_style="always")


def _write_json(path: Path, names: Sequence[str], rows: Rows) -> None:
    table = [{name: row.get(name) for name in names} for row in rows]
    path.write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


_READERS: Mapping[str, Callable[[Path], Iterable[Mapping[str, Any]]]] = {
    ".xlsx": _read_xlsx,
    ".tsv": _read_tsv,
    ".json": _read_json,
}
_WRITERS: Mapping[str, Callable[[Path, Sequence[str], Rows], None]] = {
    ".xlsx": _write_xlsx,
    ".tsv": _write_tsv,
    ".json": _write_json,
}
