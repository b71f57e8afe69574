from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.errors import ArtifactError, DatasetError
from dualvla_core.evaluation.benchmarks.images import ImageReader
from dualvla_core.evaluation.benchmarks.tables import QUESTIONS, QUESTIONS_FILE, question_of, read_rows
from dualvla_core.evaluation.benchmarks.tsv import image_files, read_benchmark
from tests.dualvla_core.evaluation.benchmarks.conftest import picture, write_tsv

ROW = {"index": 1, "question": "Which?", "answer": "A", "image": picture(10)}


def read(path: Path, name: str = "Mine") -> tuple[dict[str, Any], list[dict[str, Any]], Path]:
    folder = path.parent / "questions"
    folder.mkdir(exist_ok=True)
    summary = read_benchmark(path, name, folder)
    return summary, read_rows(folder / QUESTIONS_FILE, QUESTIONS), folder


def test_every_column_is_read_and_quotes_and_lines_survive(tmp_path: Path) -> None:
    row = {
        **ROW,
        "question": 'He said "two\twords"\nand left.',
        "A": "1.50",
        "B": None,
        "C": "None",
        "hint": "look up",
        "category": "x",
        "L2-Category": "y",
        "split": "dev",
    }
    summary, rows, _ = read(write_tsv(tmp_path / "b.tsv", [row]))
    question = question_of(rows[0])
    assert question.text == 'He said "two\twords"\nand left.'
    assert question.options == {"A": "1.50", "C": "None"}  # texts stay as they are; only empty cells are missing
    assert (question.hint, question.category, question.super_category, question.split) == ("look up", "x", "y", "dev")
    assert summary["questions"] == summary["images"] == 1
    assert summary["sha256"] == hashlib.sha256((tmp_path / "b.tsv").read_bytes()).hexdigest()
    assert summary["as_published"] == "no such file is known"


def test_a_file_of_another_content_than_published_is_told(tmp_path: Path) -> None:
    summary, _, _ = read(write_tsv(tmp_path / "MMStar.tsv", [ROW]), "MMStar")
    assert summary["as_published"] == "no"


def test_images_are_shared_by_reference_listed_and_stored_once(tmp_path: Path) -> None:
    two = str([picture(10), picture(200, ".jpg")])
    rows = [
        ROW,
        {**ROW, "index": 2, "image": "1"},
        {**ROW, "index": 3, "image": two},
        {**ROW, "index": 4, "image": "3"},
        {**ROW, "index": 5, "image": None},
    ]
    summary, found, folder = read(write_tsv(tmp_path / "b.tsv", rows))
    assert [row["images"] for row in found] == [[0], [0], [0, 1], [0, 1]]
    assert (summary["questions"], summary["images"], summary["without_image"]) == (4, 2, 1)
    pixels = ImageReader(folder).decode(0)
    assert pixels.shape == (24, 24, 3)
    assert pixels[1, 1].tolist() == [10, 10, 10]


def test_images_may_lie_beside_the_file(tmp_path: Path) -> None:
    for name, level in (("one.png", 10), ("images/b/two.png", 90)):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(base64.b64decode(picture(level)))
    rows = [
        {"index": 1, "question": "?", "image_path": "one.png"},
        {"index": 2, "question": "?", "image_path": "two.png"},
    ]
    path = write_tsv(tmp_path / "b.tsv", rows)
    assert image_files(path) == [tmp_path / "one.png", tmp_path / "images/b/two.png"]
    assert [row["images"] for row in read(path)[1]] == [[0], [1]]
    (tmp_path / "one.png").unlink()
    with pytest.raises(DatasetError, match=r"image of question 1 in b\.tsv cannot be read"):
        read(path)


def test_a_benchmark_of_text_alone_has_no_images(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "b.tsv", [{"index": "x", "question": "?", "answer": "A"}])
    assert read(path)[1][0]["images"] == []


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{**ROW, "image": "!" * 100}], "image of question 1 in b.tsv cannot be read"),
        ([{**ROW, "image": base64.b64encode(b"no image" * 20).decode()}], "question 1 in b.tsv cannot be decoded"),
        ([{**ROW, "image": "7"}], "image of question 1 in b.tsv cannot be read"),
        ([{**ROW, "image": "2"}, {**ROW, "index": 2, "image": "1"}], "has no image of its own"),
        ([{**ROW, "image": "[" + "x" * 80 + "]"}], "is no list of images"),
        ([ROW, ROW], "several rows .* of index '1'"),
        ([{**ROW, "index": None}], "of index None"),
        ([{**ROW, "question": None}], "Question 1 of b.tsv is empty"),
        ([{"index": 1, "text": "?"}], "expected at least index and question"),
    ],
)
def test_a_broken_file_is_refused_with_its_row(tmp_path: Path, rows: list[dict[str, Any]], sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        read(write_tsv(tmp_path / "b.tsv", rows))


def test_what_is_no_file_or_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no file"):
        read(tmp_path / "b.tsv")
    (tmp_path / "b.tsv").write_bytes(b"index\tquestion\n1\t2\t3\t4\n")
    with pytest.raises(DatasetError, match=r"b.tsv is no table|holds no question"):
        read(tmp_path / "b.tsv")
    (tmp_path / "b.tsv").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"b\.tsv is no table"):
        read(tmp_path / "b.tsv")
    with pytest.raises(ArtifactError, match=r"images\.arrow of .* cannot be read"):
        ImageReader(tmp_path)
