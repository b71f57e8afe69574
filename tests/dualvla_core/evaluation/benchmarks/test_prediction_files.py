from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.prediction_files import export_predictions, import_predictions
from dualvla_core.evaluation.benchmarks.tables import PREDICTIONS, PREDICTIONS_FILE, read_rows
from tests.dualvla_core.evaluation.benchmarks.conftest import Benchmark

Predicted = Callable[[Mapping[str, str]], Path]

ROWS = [
    {"index": 1, "question": 'He said "no"\tand\nleft', "A": "cat", "B": "dog", "answer": "A", "category": "c"},
    {"index": 1000001, "question": "?", "A": "dog", "B": "cat", "answer": "B", "l2-category": "d", "split": "dev"},
    {"index": 2, "question": "?", "answer": "A"},
]
ANSWERS = {"1": '=SUM(A1)\tand\n"so"', "1000001": "None", "2": ""}


def imported(path: Path, folder: Path) -> tuple[dict[str, str], dict[str, Any]]:
    summary = import_predictions(path, folder)
    return {row["index"]: row["prediction"] for row in read_rows(folder / PREDICTIONS_FILE, PREDICTIONS)}, summary


@pytest.mark.parametrize("kind", ["xlsx", "tsv", "json"])
def test_what_is_exported_is_imported_unchanged(
    kind: str, benchmark: Benchmark, predicted: Predicted, tmp_path: Path
) -> None:
    path = tmp_path / "out" / f"model_MMBench.{kind}"
    assert export_predictions(benchmark(ROWS), predicted(ANSWERS), path) == 3
    assert imported(path, tmp_path) == (ANSWERS, {"answers": 3, "failed_requests": 0})


def test_a_spreadsheet_has_the_columns_of_the_kit(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    path = tmp_path / "model_MMBench.xlsx"
    export_predictions(benchmark(ROWS), predicted(ANSWERS), path)
    sheet = openpyxl.load_workbook(path).worksheets[0]
    header, first, *_ = sheet.iter_rows(values_only=True)
    assert header == ("index", "question", "A", "B", "answer", "category", "l2-category", "split", "prediction")
    assert first == (1, 'He said "no"\tand\nleft', "cat", "dog", "A", "c", None, None, '=SUM(A1)\tand\n"so"')
    assert sheet["I2"].data_type == "s"  # no formula


def test_a_spreadsheet_of_the_kit_is_read(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    rows = [("index", "question", "prediction"), (0, "?", 12), (1, "?", 3.5), (2, "?", 4.0), (3, "?", None)]
    for row in (*rows, (4, "?", "Failed to obtain answer via API."), (None, None, None)):
        book.worksheets[0].append(row)
    book.save(tmp_path / "m.xlsx")
    answers, summary = imported(tmp_path / "m.xlsx", tmp_path)
    assert answers == {"0": "12", "1": "3.5", "2": "4", "3": ""}
    assert summary == {"answers": 4, "failed_requests": 1}


def test_an_object_from_index_to_answer_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"validation_Art_1": "B"}))
    assert imported(tmp_path / "m.json", tmp_path)[0] == {"validation_Art_1": "B"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("m.csv", b"", "of an unknown kind; expected one of .xlsx, .tsv, .json"),
        ("m.xlsx", b"torn", "m.xlsx cannot be read as .xlsx"),
        ("m.json", b"[1]", "expected a list of rows"),
        ("m.json", b"{", "m.json cannot be read as .json"),
        ("m.json", b'[{"index": 1}]', "Row 1 of m.json has no index or no prediction"),
        ("m.json", b'[{"index": 1, "prediction": "a"}, {"index": 1, "prediction": "b"}]', "question 1 twice"),
        ("m.tsv", b"index\tquestion\n1\t?\n", "Row 1 of m.tsv has no index or no prediction"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=sentence):
        import_predictions(tmp_path / name, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for kind in ("xlsx", "tsv", "json"):
        with pytest.raises(DatasetError, match="There is no file"):
            import_predictions(tmp_path / f"m.{kind}", tmp_path)


@pytest.mark.parametrize(("answer", "why"), [("x" * 40_000, "40000 characters"), ("\x07", "control character")])
def test_a_spreadsheet_cuts_nothing_off(
    answer: str, why: str, benchmark: Benchmark, predicted: Predicted, tmp_path: Path
) -> None:
    questions, answers = benchmark(ROWS[2:]), predicted({"2": answer})
    with pytest.raises(DatasetError, match=f"{why}.* write a .tsv file instead"):
        export_predictions(questions, answers, tmp_path / "m.xlsx")
    export_predictions(questions, answers, tmp_path / "m.tsv")
    assert imported(tmp_path / "m.tsv", tmp_path)[0] == {"2": answer}
    with pytest.raises(DatasetError, match="unknown kind"):
        export_predictions(questions, answers, tmp_path / "m.txt")
