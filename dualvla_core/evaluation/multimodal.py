"""Visual questions: the share of greedy answers that match the expected one, by category."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import MultimodalEvaluationConfig
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE, CATEGORIES, CATEGORIES_FILE
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import MULTIMODAL, check_schema

MULTIMODAL_FILE = "multimodal.arrow"

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans(string.punctuation, " " * len(string.punctuation))
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NUMBERS = {word: str(number) for number, word in enumerate(_DIGITS)}


class Answerer(Protocol):
    """Answers visual questions, without sampling."""

    def answer(self, images: Sequence[npt.NDArray[np.uint8]], questions: Sequence[str]) -> list[str]:
        """One text per question; images are RGB ``[H, W, 3]``, one per question."""


def normalise_answer(text: str) -> str:
    """What two answers must share to count as the same.

    Case, punctuation and spaces do not matter, articles neither (unless there is nothing else: option "A"), and digits
    may be spelt out.
    """
    plain = text.lower().translate(_PUNCTUATION)
    words = _ARTICLES.sub(" ", plain).split() or plain.split()
    return " ".join(_NUMBERS.get(word, word) for word in words)


def evaluate_answers(
    params: MultimodalEvaluationConfig,
    multimodal: Path,
    answerer: Answerer,
    output: Path,
    progress: Progress = silent,
    batch_size: int = 16,
) -> Summary:
    """Ask every question of the split; write ``answers.parquet`` and ``categories.parquet``.

    Args:
        params: which questions.
        multimodal: folder of a multimodal shard.
        answerer: whose answers are counted.
        output: an empty folder.
        progress: told the number of questions asked.
        batch_size: questions asked at once; changes no answer.

    Returns:
        The number of questions, accuracy with its 95 % interval, the mean of the categories' accuracies, and each
        category's accuracy as ``<category>.accuracy``.

    Raises:
        ArtifactError: when the shard cannot be read or holds no question of this split.
    """
    questions = _questions(multimodal / MULTIMODAL_FILE, params.split)
    answers: list[dict[str, Any]] = []
    for start in range(0, len(questions), batch_size):
        batch = questions.slice(start, batch_size).to_pylist()
        images = [_decode(row["image"]) for row in batch]
        found = answerer.answer(images, [row["question"] for row in batch])
        answers += [_count(row, answer) for row, answer in zip(batch, found, strict=True)]
        progress(len(answers), len(questions))
    categories = _categories(answers)
    pq.write_table(pa.Table.from_pylist(answers, ANSWERS), output / ANSWERS_FILE, compression="zstd")
    pq.write_table(pa.Table.from_pylist(categories, CATEGORIES), output / CATEGORIES_FILE, compression="zstd")
    correct = sum(row["correct"] for row in answers)
    low, high = wilson_interval(correct, len(answers))
    return {
        "questions": len(answers),
        "accuracy": correct / len(answers),
        "accuracy_low": low,
        "accuracy_high": high,
        "category_mean": sum(row["accuracy"] for row in categories) / len(categories),
        **{f"{row['category']}.accuracy": row["accuracy"] for row in categories},
    }


def _questions(path: Path, split: str) -> pa.Table:
    try:
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            table = reader.read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{path.name} of {path.parent.name!r} cannot be read; build the shard again.") from error
    check_schema(table.schema, MULTIMODAL, path.name)
    questions = table.filter(pa.compute.equal(table["split"], split))
    if not len(questions):
        raise ArtifactError(f"{path.name} holds no {split} question; ask the other split or add questions.")
    return questions


def _decode(image: bytes) -> npt.NDArray[np.uint8]:
    pixels = cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR_RGB)
    if pixels is None:
        raise ArtifactError("An image of the multimodal shard cannot be decoded; build the shard again.")
    return np.asarray(pixels, np.uint8)


def _count(row: dict[str, Any], answer: str) -> dict[str, Any]:
    expected = row["answer"]
    return {
        "sample": row["sample"],
        "category": row["category"],
        "question": row["question"],
        "expected": expected,
        "answer": answer,
        "correct": normalise_answer(answer) == normalise_answer(expected),
    }


def _categories(answers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for category in sorted({row["category"] for row in answers}):
        outcomes = [row["correct"] for row in answers if row["category"] == category]
        correct = sum(outcomes)
        low, high = wilson_interval(correct, len(outcomes))
        rows.append(
            {
                "category": category,
                "questions": len(outcomes),
                "correct": correct,
                "accuracy": correct / len(outcomes),
                "low": low,
                "high": high,
            }
        )
    return rows
