"""All eight benchmarks and the ninth, small, from TSV files in the real layout to their scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.errors import ArtifactError, DatasetError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.config import BenchmarkConfig, ScoringConfig, TextJudgeConfig
from dualvla_core.evaluation.benchmarks.overview import mean_of_eight, summarise_benchmarks
from dualvla_core.evaluation.benchmarks.scoring import score_predictions
from dualvla_core.evaluation.benchmarks.tables import (
    GROUPS,
    GROUPS_FILE,
    OVERVIEW,
    OVERVIEW_FILE,
    PREDICTIONS_FILE,
    read_rows,
)
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE
from tests.dualvla_core.evaluation.benchmarks.conftest import Benchmark

Predicted = Callable[[Mapping[str, str]], Path]
PLUMS = {"A": "apples", "B": "pears", "C": "plums"}


class Judge:
    """Grades by the answer's first word, if that is a number; fails otherwise."""

    def complete(self, prompt: str, temperature: float) -> str:
        return prompt.rsplit("Answer: ", 1)[1].split(maxsplit=1)[0]


# name: rows, answers, score of each item in percent (None: missing)
EIGHT: dict[str, tuple[list[dict[str, Any]], dict[str, str], dict[str, float | None]]] = {
    "MMMU_DEV_VAL": (
        [
            {"index": 1, "question": "?", **PLUMS, "answer": "B", "category": "Art", "split": "validation"},
            {"index": 2, "question": "?", "answer": "12 kg", "category": "Physics", "split": "validation"},
            {"index": 3, "question": "?", **PLUMS, "answer": "C", "category": "Art", "split": "dev"},
        ],
        {"1": "Answer: B", "2": "about 13 kg", "3": "C"},
        {"1": 100, "2": 0},
    ),
    "MMVet": (
        [
            {"index": "v1_0", "question": "?", "answer": "a<AND>b", "category": "ocr,math"},
            {"index": "v1_1", "question": "?", "answer": "c", "category": "ocr"},
        ],
        {"v1_0": "0.5 right", "v1_1": "1.0 right"},
        {"v1_0": 50, "v1_1": 100},
    ),
    "MMStar": (
        [
            {"index": 0, "question": "?", **PLUMS, "answer": "A", "category": "math", "l2-category": "sums"},
            {"index": 1, "question": "?", **PLUMS, "answer": "A", "category": "math", "l2-category": "sums"},
        ],
        {"0": "some apples", "1": "apples or pears"},
        {"0": 100, "1": 0},
    ),
    "OCRBench": (
        [
            {"index": 0, "question": "?", "answer": "['CENTRE']", "category": "Regular Text Recognition"},
            {"index": 1, "question": "?", "answer": "['12', 'twelve']", "category": "Doc-oriented VQA"},
        ],
        {"0": "it says Centre", "1": "eleven"},
        {"0": 100, "1": 0},
    ),
    "MMBench_DEV_EN_V11": (
        [
            {"index": 5, "question": "?", "A": "cat", "B": "dog", "answer": "A", "category": "c", "split": "dev"},
            {"index": 1000005, "question": "?", "A": "dog", "B": "cat", "answer": "B", "category": "c", "split": "dev"},
            {"index": 6, "question": "?", "A": "up", "B": "down", "answer": "A", "category": "c", "split": "dev"},
            {"index": 1000006, "question": "?", "A": "down", "B": "up", "answer": "B", "category": "c", "split": "dev"},
        ],
        {"5": "A", "1000005": "a cat", "6": "A", "1000006": "A"},
        {"5": 100, "6": 0},
    ),
    "TextVQA_VAL": (
        [{"index": 0, "question": "?", "answer": str(["stop"] * 3 + ["go"] * 7)}],
        {"0": "Stop."},
        {"0": 90},
    ),
    "InfoVQA_VAL": ([{"index": 0, "question": "?", "answer": "['abcd']"}], {"0": "abce"}, {"0": 75}),
    "DocVQA_VAL": ([{"index": 0, "question": "?", "answer": "['2019']"}], {"0": " 2019 "}, {"0": 100 - 0}),
}


def scored(name: str, benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    rows, answers, _ = EIGHT[name]
    config = BenchmarkConfig.model_validate({"name": name, "path": "unused"})
    output = tmp_path / f"{name}-scores"
    output.mkdir()
    params = config.scoring(TextJudgeConfig(model="tests"))
    return output, score_predictions(params, benchmark(rows, name), predicted(answers), output, Judge())


@pytest.mark.parametrize("name", EIGHT)
def test_each_of_the_eight_is_scored(name: str, benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    output, summary = scored(name, benchmark, predicted, tmp_path)
    expected = EIGHT[name][2]
    items: dict[str, float] = {}
    for row in read_rows(output / ANSWERS_FILE, ANSWERS):
        items[row["item"]] = min(row["score"], items.get(row["item"], 1.0))
    assert {item: 100 * items[item] for item in expected} == pytest.approx(expected)
    mean = sum(value for value in expected.values() if value is not None) / len(expected) / 100
    assert summary["accuracy"] == pytest.approx(mean)
    assert (summary["accuracy_low"], summary["accuracy_high"]) == wilson_interval(mean * len(expected), len(expected))
    assert (summary["questions"], summary["missing"], summary["complete"]) == (len(expected), 0, "yes")


def test_the_mean_of_the_eight_needs_all_of_them(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    folders = [(name, scored(name, benchmark, predicted, tmp_path)[0]) for name in EIGHT]
    summary = summarise_benchmarks(folders, tmp_path)
    assert summary["mean_of_eight"] == pytest.approx((50 + 75 + 50 + 50 + 50 + 90 + 75 + 100) / 8)
    assert summary["OCRBench"] == 50
    table = {row["benchmark"]: row for row in read_rows(tmp_path / OVERVIEW_FILE, OVERVIEW)}
    assert list(table) == list(CATALOGUE)
    assert (table["MMStar"]["items"], table["MMStar"]["unparsed"], table["MMStar"]["score"]) == (2, 1, 50)
    fewer = summarise_benchmarks(folders[1:], tmp_path)
    assert fewer["without_mean"] == "MMMU_DEV_VAL was not run"


def test_the_mean_is_the_one_of_the_published_table() -> None:
    # InstructVLA v2, table 1, generalist: OCRBench 814 of 1000
    published = dict(zip(CATALOGUE, (44.2, 51.7, 56.2, 81.4, 76.1, 77.7, 63.7, 85.8), strict=True))
    assert mean_of_eight(published) == pytest.approx(67.1)


def test_groups_of_every_level_are_listed(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    def groups(name: str) -> dict[tuple[str | None, str, str], float]:
        output, _ = scored(name, benchmark, predicted, tmp_path)
        return {
            (row["split"], row["level"], row["name"]): row["score"] for row in read_rows(output / GROUPS_FILE, GROUPS)
        }

    assert groups("MMMU_DEV_VAL") == {
        (None, "overall", "overall"): 0.5,
        (None, "category", "Art"): 1.0,
        (None, "category", "Physics"): 0.0,
        ("dev", "overall", "overall"): 1.0,
        ("dev", "category", "Art"): 1.0,
        ("validation", "overall", "overall"): 0.5,
        ("validation", "category", "Art"): 1.0,
        ("validation", "category", "Physics"): 0.0,
    }
    assert groups("MMVet") == {
        (None, "overall", "overall"): 0.75,
        (None, "capability", "math"): 0.5,
        (None, "capability", "ocr"): 0.75,
        (None, "category", "ocr"): 1.0,
        (None, "category", "ocr,math"): 0.5,
    }
    assert groups("MMStar")[None, "l2-category", "sums"] == 0.5
    assert groups("OCRBench")[None, "group", "Text Recognition"] == 1.0


def test_a_failed_judge_leaves_the_benchmark_incomplete(
    benchmark: Benchmark, predicted: Predicted, tmp_path: Path
) -> None:
    rows, answers, _ = EIGHT["MMVet"]
    params = ScoringConfig(benchmark="MMVet", rule="judge", judge=TextJudgeConfig(model="tests"))
    questions, told = benchmark(rows), predicted({**answers, "v1_1": "no number"})
    summary = score_predictions(params, questions, told, tmp_path, Judge())
    assert summary == {"benchmark": "MMVet", "questions": 2, "missing": 1, "unparsed": 0, "complete": "no"}
    overall, *rest = read_rows(tmp_path / GROUPS_FILE, GROUPS)
    assert (overall["score"], overall["low"]) == (None, None)
    assert {row["name"]: row["score"] for row in rest}["math"] == 0.5  # a group without holes has its score
    assert "MMVet misses 1 of 2" in str(summarise_benchmarks([("MMVet", tmp_path)], tmp_path)["without_mean"])
    without = score_predictions(params, questions, told, tmp_path, None)
    assert without["missing"] == 2
    assert "no judge was configured" in read_rows(tmp_path / ANSWERS_FILE, ANSWERS)[0]["note"]


def test_what_cannot_be_read_is_wrong_and_listed(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    rows = [{"index": n, "question": "?", **PLUMS, "answer": "A"} for n in range(4)]
    answers = {"0": "A", "1": "who knows", "2": "", "3": "B"}
    params = ScoringConfig(benchmark="x", rule="multiple_choice")
    summary = score_predictions(params, benchmark(rows), predicted(answers), tmp_path)
    assert (summary["accuracy"], summary["unparsed"], summary["complete"]) == (0.25, 2, "yes")
    noted = {row["index"]: row["note"] for row in read_rows(tmp_path / ANSWERS_FILE, ANSWERS) if row["note"]}
    assert noted == {"1": "no option can be inferred", "2": "no option can be inferred"}


def test_an_empty_short_answer_is_listed(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    questions = benchmark([{"index": 0, "question": "?", "answer": "x"}])
    params = ScoringConfig(benchmark="x", rule="anls")
    assert score_predictions(params, questions, predicted({"0": " "}), tmp_path)["unparsed"] == 1
    assert read_rows(tmp_path / ANSWERS_FILE, ANSWERS)[0]["note"] == "the answer is empty"


def test_a_question_without_prediction_is_missing(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    rows, answers, _ = EIGHT["MMBench_DEV_EN_V11"]
    params = ScoringConfig(benchmark="x", rule="circular")
    partly = {index: text for index, text in answers.items() if index != "1000005"}
    summary = score_predictions(params, benchmark(rows), predicted(partly), tmp_path)
    assert (summary["questions"], summary["missing"], summary["complete"]) == (2, 1, "no")
    assert "accuracy" not in summary


@pytest.mark.parametrize(
    ("rows", "answers", "params", "sentence"),
    [
        ([{"index": 1, "answer": "A"}], {"2": "A"}, {}, "answer 1 questions that x does not have, such as '2'"),
        ([{"index": 1}], {"1": "A"}, {}, "1 questions of x come without an answer"),
        ([{"index": 1, "answer": "A"}], {"1": "A"}, {"split": "val"}, "is of the split 'val'; its splits are"),
        ([{"index": "a", "answer": "A"}], {"a": "A"}, {"rule": "circular"}, "has no number"),
        ([{"index": 1000001, "answer": "A"}], {}, {"rule": "circular"}, "rotations of question '1', but not"),
    ],
)
def test_what_does_not_fit_is_refused(
    benchmark: Benchmark,
    predicted: Predicted,
    tmp_path: Path,
    rows: list[dict[str, Any]],
    answers: dict[str, str],
    params: dict[str, Any],
    sentence: str,
) -> None:
    questions = benchmark([{"question": "?", **row} for row in rows])
    config = ScoringConfig.model_validate({"benchmark": "x", "rule": "multiple_choice", **params})
    with pytest.raises(DatasetError, match=sentence):
        score_predictions(config, questions, predicted(answers), tmp_path)


def test_a_folder_without_its_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"questions\.parquet of .* cannot be read"):
        score_predictions(ScoringConfig(benchmark="x", rule="anls"), tmp_path, tmp_path, tmp_path)


def test_scoring_is_a_pure_function(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    rows, answers, _ = EIGHT["TextVQA_VAL"]
    questions, told = benchmark(rows), predicted(answers)
    params = ScoringConfig(benchmark="x", rule="vqa_accuracy")
    files = (ANSWERS_FILE, GROUPS_FILE)
    score_predictions(params, questions, told, tmp_path)
    before = [(tmp_path / name).read_bytes() for name in files]
    score_predictions(params, questions, told, tmp_path)
    assert [(tmp_path / name).read_bytes() for name in files] == before
    assert (told / PREDICTIONS_FILE).exists()
