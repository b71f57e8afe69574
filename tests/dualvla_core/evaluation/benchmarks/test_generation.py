from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.config import BenchmarkConfig, GenerationConfig, PromptConfig
from dualvla_core.evaluation.benchmarks.generation import predict_answers
from dualvla_core.evaluation.benchmarks.prompts import build_prompt
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.tables import PREDICTIONS, PREDICTIONS_FILE, read_rows
from dualvla_core.evaluation.benchmarks.tsv import read_benchmark
from tests.dualvla_core.evaluation.benchmarks.conftest import Benchmark, picture, write_tsv

PARAMS = GenerationConfig(prompt=PromptConfig(style="question"), max_tokens=7)


class Parrot:
    """Answers with the question's last word and the brightness of its images; fails at a given batch."""

    def __init__(self, fails_at: int = -1) -> None:
        self.batches: list[list[str]] = []
        self.fails_at = fails_at

    def answer(
        self, images: Sequence[Sequence[npt.NDArray[np.uint8]]], questions: Sequence[str], max_tokens: int
    ) -> list[str]:
        assert max_tokens == 7
        assert len({len(each) for each in images}) == 1, "the images of a batch are stacked"
        if len(self.batches) == self.fails_at:
            raise ConnectionError
        self.batches.append(list(questions))
        return [
            f"{text[-1]}{[int(each[1, 1, 0]) for each in seen]}" for text, seen in zip(questions, images, strict=True)
        ]


class Kept:
    def __init__(self) -> None:
        self.answers: dict[str, str] = {}

    def load(self) -> dict[str, str]:
        return dict(self.answers)

    def save(self, answers: Mapping[str, str]) -> None:
        self.answers |= answers


def rows() -> list[dict[str, object]]:
    images = [picture(10), str([picture(20), picture(30)]), "1", "1", "2"]
    return [{"index": n, "question": f"q{n}", "image": image} for n, image in enumerate(images, start=1)]


def test_questions_are_asked_in_batches_of_equally_many_images(benchmark: Benchmark, tmp_path: Path) -> None:
    parrot, told = Parrot(), list[tuple[int, int]]()
    summary = predict_answers(
        PARAMS,
        benchmark(rows()),
        parrot,
        tmp_path,
        Kept(),
        batch_size=2,
        progress=lambda done, total: told.append((done, total)),
    )
    assert parrot.batches == [["q1", "q3"], ["q4"], ["q2", "q5"]]
    found = read_rows(tmp_path / PREDICTIONS_FILE, PREDICTIONS)
    assert [row["prediction"] for row in found] == ["1[10]", "2[20, 30]", "3[10]", "4[10]", "5[20, 30]"]
    assert summary == {"answers": 5, "empty": 0}
    assert told == [(0, 5), (2, 5), (3, 5), (5, 5)]


def test_an_interrupted_run_asks_only_what_is_open(benchmark: Benchmark, tmp_path: Path) -> None:
    questions, kept = benchmark(rows()), Kept()
    with pytest.raises(ConnectionError):
        predict_answers(PARAMS, questions, Parrot(fails_at=1), tmp_path, kept, batch_size=2)
    assert not (tmp_path / PREDICTIONS_FILE).exists()
    again = Parrot()
    predict_answers(PARAMS, questions, again, tmp_path, kept, batch_size=2)
    assert again.batches == [["q4"], ["q2", "q5"]]
    resumed = (tmp_path / PREDICTIONS_FILE).read_bytes()
    predict_answers(PARAMS, questions, Parrot(), tmp_path, Kept(), batch_size=5)
    assert (tmp_path / PREDICTIONS_FILE).read_bytes() == resumed


def test_a_policy_is_asked_about_images_only(benchmark: Benchmark, tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "text.tsv", [{"index": 1, "question": "?"}])
    read_benchmark(path, "text", tmp_path)
    with pytest.raises(DatasetError, match="1 questions have no image, the first is 1"):
        predict_answers(PARAMS, tmp_path, Parrot(), tmp_path, Kept(), batch_size=2)


def test_prompts_follow_the_layout_of_the_kit() -> None:
    question = Question("1", "Which <image 1>?", "A", {"A": "one", "B": "two"}, hint="look")
    choice = PromptConfig(style="multiple_choice", choice_request="Choose.")
    assert build_prompt(choice, question) == "Hint: look\nQuestion: Which <image 1>?\nOptions:\nA. one\nB. two\nChoose."
    assert build_prompt(choice, Question("1", "How many?", "3")) == "Question: How many?"
    assert (
        build_prompt(PromptConfig(style="short_answer", short_request="Brief."), question) == "Which <image 1>?\nBrief."
    )
    assert build_prompt(PromptConfig(style="question"), question) == "Which <image 1>?"


def test_a_benchmark_of_the_catalogue_knows_how_it_is_asked_and_scored() -> None:
    known = BenchmarkConfig.model_validate({"name": "MMMU_DEV_VAL", "path": "x.tsv"})
    assert (known.prompt, known.rule, known.split, known.max_tokens) == ("multiple_choice", "mmmu", "validation", 512)
    other = BenchmarkConfig.model_validate({"name": "MMMU_DEV_VAL", "path": "x.tsv", "rule": "mmmu_official"})
    assert other.rule == "mmmu_official"
    with pytest.raises(ValueError, match="rule"):
        BenchmarkConfig.model_validate({"name": "mine", "path": "x.tsv"})
