from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pytest

from dualvla_core import schemas
from dualvla_core.errors import ArtifactError
from dualvla_core.report.config import ReportParams
from dualvla_core.report.multimodal import read_multimodal


def write_questions(folder: Path, categories: str, image: bytes | None = None) -> None:
    """One question per letter of ``categories``; capitals are held out."""
    jpeg = cv2.imencode(".jpg", np.zeros((8, 12, 3), np.uint8))[1].tobytes() if image is None else image
    rows = [
        {
            "sample": f"s{index}",
            "image": jpeg,
            "question": f"Question {index}?",
            "answer": f"Answer {index}.",
            "category": letter.lower(),
            "split": "held_out" if letter.isupper() else "train",
        }
        for index, letter in enumerate(categories)
    ]
    with pa.ipc.new_file(str(folder / "multimodal.arrow"), schemas.MULTIMODAL) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schemas.MULTIMODAL))


def test_counts_per_category_and_examples_in_turn(tmp_path: Path) -> None:
    write_questions(tmp_path, "bbBaAb")
    summary, questions = read_multimodal(tmp_path, ReportParams(multimodal_examples=4))
    assert summary.samples == 6
    assert [(each.category, each.train, each.held_out) for each in summary.categories] == [("a", 1, 1), ("b", 3, 1)]
    assert summary.examples == ("s3", "s0", "s4", "s1")
    assert [(each.category, each.question, each.answer) for each in questions[:2]] == [
        ("a", "Question 3?", "Answer 3."),
        ("b", "Question 0?", "Answer 0."),
    ]


def test_an_empty_set_and_no_examples(tmp_path: Path) -> None:
    write_questions(tmp_path, "")
    summary, questions = read_multimodal(tmp_path, ReportParams())
    assert (summary.samples, summary.categories, questions) == (0, (), ())


def test_a_missing_set_and_a_broken_picture_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"multimodal\.arrow is missing"):
        read_multimodal(tmp_path, ReportParams())
    write_questions(tmp_path, "a", image=b"not a picture")
    with pytest.raises(ArtifactError, match="not a readable JPEG"):
        read_multimodal(tmp_path, ReportParams())
