"""Reads benchmarks in VLMEvalKit's TSV layout."""

from __future__ import annotations

import ast
import base64
import binascii
import hashlib
import string
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.images import ImageTable
from dualvla_core.evaluation.benchmarks.tables import QUESTIONS, QUESTIONS_FILE, write_table
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent

_LONGEST_REFERENCE = 64  # characters; an image cell this short names the row whose image it shares


def read_table(path: Path) -> pl.DataFrame:
    """A TSV file as texts; empty cells are null, names are lower case but for the option letters.

    Raises `DatasetError` when the file cannot be read, or two rows have the same index.
    """
    try:
        table = pl.read_csv(path, separator="\t", infer_schema=False)
    except FileNotFoundError:
        raise DatasetError(f"There is no file {str(path)!r}; give the path of the benchmark's TSV file.") from None
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(f"{path.name} is no table of tab-separated values ({reason}).") from error
    table = table.rename({name: name if _is_option(name) else name.lower() for name in table.columns})
    for column in ("index", "question"):
        if column not in table.columns:
            raise DatasetError(
                f"{path.name} has the columns {table.columns}; expected at least index and question, as VLMEvalKit "
                "writes them."
            )
    table = table.with_columns(pl.when(pl.all() != "").then(pl.all()))
    repeated = table.filter(pl.col("index").is_duplicated() | pl.col("index").is_null())
    if len(repeated):
        raise DatasetError(f"{path.name} has several rows (or one without) of index {repeated['index'][0]!r}.")
    return table


def read_benchmark(path: Path, name: str, output: Path, progress: Progress = silent) -> Summary:
    """Write the ``questions.parquet`` and ``images.arrow`` of a TSV file.

    A row without an image is left out, as VLMEvalKit does, unless no row has one; the number is in the summary.

    Args:
        path: the file; images it names by path lie beside it, or in ``images/<name>/`` beside it.
        name: of the benchmark; tells which published checksum the file may have.
        output: an empty folder.
        progress: told the number of rows read.

    Raises:
        DatasetError: when the file, a row or an image cannot be read; a benchmark with holes has no score.
    """
    table = read_table(path)
    column = image_column(table)
    kept = table if column is None else table.filter(pl.col(column).is_not_null())
    if not len(kept):
        raise DatasetError(f"{path.name} holds no question.")
    cells = dict(zip(kept["index"], kept[column], strict=True)) if column else {}
    rows = []
    with ImageTable(output) as images:
        for row in kept.drop("image", strict=False).iter_rows(named=True):
            encoded = encoded_images(row["index"], column, cells, path)
            rows.append({**_question_row(row, path.name), "images": [images.add(each) for each in encoded]})
            progress(len(rows), len(kept))
        count = images.count
    write_table(rows, QUESTIONS, output / QUESTIONS_FILE)
    return {
        "questions": len(rows),
        "images": count,
        "without_image": len(table) - len(kept),
        **_checksums(path, name),
    }


def image_files(path: Path) -> list[Path]:
    """The files whose images a TSV names by path, in order; none where it holds the images itself."""
    table = read_table(path)
    if "image" in table.columns or "image_path" not in table.columns:
        return []
    cells = table["image_path"].drop_nulls().to_list()
    return [_image_file(name, path) for cell in cells for name in _elements(cell)]


def image_column(table: pl.DataFrame) -> str | None:
    """The column that holds images or names their files; None in a table of questions alone."""
    return next((each for each in ("image", "image_path") if each in table.columns), None)


def shared_image(cell: str | None) -> str | None:
    """The index of the row whose image a cell shares; None where it holds or names its own."""
    short = cell is not None and len(cell) <= _LONGEST_REFERENCE and Path(cell).suffix == ""
    return cell if short else None


def _question_row(row: dict[str, Any], file: str) -> dict[str, Any]:
    if row["question"] is None:
        raise DatasetError(f"Question {row['index']} of {file} is empty; mend the file.")
    options = [{"letter": each, "text": row[each]} for each in string.ascii_uppercase if row.get(each) is not None]
    names = {"super_category": "l2-category", "group": "g_index"}
    plain = ("index", "question", "answer", "hint", "category", "super_category", "split", "group")
    return {**{name: row.get(names.get(name, name)) for name in plain}, "options": options}


def encoded_images(index: str, column: str | None, cells: dict[str, str], path: Path) -> list[bytes]:
    """The images of a row, encoded; raises `DatasetError` for one that cannot be decoded."""
    if column is None:
        return []
    try:
        if column == "image_path":
            found = [_image_file(name, path).read_bytes() for name in _elements(cells[index])]
        else:
            found = [base64.b64decode(each, validate=True) for each in _elements(_resolved(cells[index], cells))]
    except (OSError, binascii.Error, KeyError) as error:
        raise DatasetError(f"The image of question {index} in {path.name} cannot be read ({error}).") from error
    if not all(_is_image(each) for each in found):
        raise DatasetError(f"The image of question {index} in {path.name} cannot be decoded; download the file again.")
    return found


def _resolved(cell: str, cells: dict[str, str]) -> str:
    """The cell itself, or the one of the row it names."""
    if len(cell) > _LONGEST_REFERENCE:
        return cell
    other = cells[cell]
    if len(other) <= _LONGEST_REFERENCE:
        raise KeyError(f"{cell} has no image of its own")
    return other


def _elements(cell: str) -> list[str]:
    """The elements of a list written as Python does, else the cell itself."""
    if not (cell.startswith("[") and cell.endswith("]")):
        return [cell]
    try:
        return [str(each) for each in ast.literal_eval(cell)]
    except (ValueError, SyntaxError) as error:
        raise DatasetError(f"The cell {cell[:40]!r} is no list of images.") from error


def _image_file(name: str, path: Path) -> Path:
    beside = path.parent / name
    return beside if beside.is_file() else path.parent / "images" / path.stem / name


def _is_image(content: bytes) -> bool:
    array = np.frombuffer(content, np.uint8)
    return bool(len(array)) and cv2.imdecode(array, cv2.IMREAD_REDUCED_GRAYSCALE_8) is not None


def _is_option(name: str) -> bool:
    return len(name) == 1 and name in string.ascii_uppercase


def _checksums(path: Path, name: str) -> Summary:
    """SHA-256, and whether the file is the one VLMEvalKit publishes (which it names by MD5)."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    known = CATALOGUE.get(name)
    published = "no such file is known" if known is None else "yes" if known.md5 == md5 else "no"
    return {"sha256": sha256, "as_published": published}
