"""Asks a policy every question of a benchmark, greedily, and keeps what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.config import GenerationConfig
from dualvla_core.evaluation.benchmarks.images import ImageReader
from dualvla_core.evaluation.benchmarks.prompts import build_prompt
from dualvla_core.evaluation.benchmarks.tables import (
    PREDICTIONS,
    PREDICTIONS_FILE,
    QUESTIONS,
    QUESTIONS_FILE,
    question_of,
    read_rows,
    write_table,
)
from dualvla_core.evaluation.policy import Answerer
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent


class UnfinishedPredictions(Protocol):
    """Keeps answers from one attempt to the next, by the index of their question."""

    def load(self) -> dict[str, str]:
        """The answers of earlier attempts."""

    def save(self, answers: Mapping[str, str]) -> None:
        """Add a batch of answers."""


def predict_answers(
    params: GenerationConfig,
    questions: Path,
    answerer: Answerer,
    output: Path,
    unfinished: UnfinishedPredictions,
    *,
    batch_size: int,
    progress: Progress = silent,
) -> Summary:
    """Ask every question that has no answer yet; write ``predictions.parquet`` in the order of the questions.

    Args:
        params: how the questions are put.
        questions: folder of a benchmark.
        answerer: the policy.
        output: an empty folder.
        unfinished: where answers are kept while others are still to come.
        batch_size: questions asked at once; those of a batch have equally many images.
        progress: told the number of questions answered.

    Raises:
        DatasetError: for a question without an image: a policy looks at something.
    """
    rows = read_rows(questions / QUESTIONS_FILE, QUESTIONS)
    blind = [row["index"] for row in rows if not row["images"]]
    if blind:
        raise DatasetError(f"{len(blind)} questions have no image, the first is {blind[0]}; give a file with images.")
    images = ImageReader(questions)
    answers = unfinished.load()
    progress(len(answers), len(rows))
    for batch in _batches([row for row in rows if row["index"] not in answers], batch_size):
        seen = [[images.decode(number) for number in row["images"]] for row in batch]
        prompts = [build_prompt(params.prompt, question_of(row)) for row in batch]
        said = answerer.answer(seen, prompts, params.max_tokens)
        found = {row["index"]: text for row, text in zip(batch, said, strict=True)}
        unfinished.save(found)
        answers |= found
        progress(len(answers), len(rows))
    predictions = [{"index": row["index"], "prediction": answers[row["index"]]} for row in rows]
    write_table(predictions, PREDICTIONS, output / PREDICTIONS_FILE)
    return {"answers": len(predictions), "empty": sum(not row["prediction"].strip() for row in predictions)}


def _batches(rows: Sequence[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    """Rows with equally many images, at most ``size`` at a time."""

    def images(row: dict[str, Any]) -> int:
        return len(row["images"])

    for _, alike in groupby(sorted(rows, key=images), key=images):
        group = list(alike)
        for start in range(0, len(group), size):
            yield group[start : start + size]
