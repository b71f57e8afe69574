"""Every case of the public scorers that lies in the shared data; deviations are stated where they are."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualvla_core.evaluation.benchmarks.config import ScoringConfig
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.anls import anls, normalised_distance
from dualvla_core.evaluation.benchmarks.rules.judged import judge_prompt, score_judged
from dualvla_core.evaluation.benchmarks.rules.mmmu_official import score_mmmu_official
from dualvla_core.evaluation.benchmarks.rules.multiple_choice import infer_option, named_option, quoted_option
from dualvla_core.evaluation.benchmarks.rules.vqa_accuracy import normalise, vqa_accuracy
from dualvla_core.evaluation.benchmarks.scoring import score_predictions
from dualvla_core.evaluation.benchmarks.tables import GROUPS, GROUPS_FILE, read_rows
from tests.dualvla_core.evaluation.benchmarks.conftest import SHARED, Benchmark, public

Predicted = Callable[..., Path]


def test_option_inference() -> None:
    for case in public("mcq_can_infer")["cases"]:
        found = [rule(case["prediction"], case["choices"]) for rule in (named_option, quoted_option, infer_option)]
        assert found == [case["option"] or None, case["text"] or None, case["result"] or None], case


def test_circular_evaluation(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    for case in public("mmbench_circular_e2e")["cases"]:
        questions = benchmark(case["rows"])
        answers = {str(row["index"]): text for row, text in zip(case["rows"], case["predictions"], strict=True)}
        params = ScoringConfig(benchmark="MMBench", rule="circular")
        summary = score_predictions(params, questions, predicted(answers), tmp_path)
        (result,) = case["result"]
        scores = {row["name"]: row["score"] for row in read_rows(tmp_path / GROUPS_FILE, GROUPS)}
        assert summary["accuracy"] == pytest.approx(result["Overall"])
        # the public table abbreviates this name
        assert scores["finegrained_perception (instance-level)"] == pytest.approx(result["FP-S"])
        for name in ("attribute_recognition", "object_localization", "ocr"):
            assert scores[name] == result[name]


def test_containment(benchmark: Benchmark, predicted: Predicted, tmp_path: Path) -> None:
    for case in public("ocrbench_e2e")["cases"]:
        questions = benchmark(case["rows"])
        answers = {str(row["index"]): text for row, text in zip(case["rows"], case["predictions"], strict=True)}
        params = ScoringConfig(benchmark="OCRBench", rule="containment")
        summary = score_predictions(params, questions, predicted(answers), tmp_path)
        hits = {row["name"]: round(row["score"] * row["items"]) for row in read_rows(tmp_path / GROUPS_FILE, GROUPS)}
        expected = case["result"]
        assert {name: hits[name] for name in hits if name in expected} == {
            name: count for name, count in expected.items() if not name.startswith("Final")
        }
        assert hits["overall"] == expected["Final Score"]
        # deviation: the public "norm" divides by 10 whatever the number of items, right for the full 1000 only
        assert summary["accuracy"] == pytest.approx(expected["Final Score"] / len(case["rows"]))
        assert expected["Final Score Norm"] == pytest.approx(expected["Final Score"] / 10)


def test_answer_normalisation() -> None:
    for case in public("process_answer")["cases"]:
        assert normalise(case["input"]) == case["output"], case


def test_vqa_accuracy() -> None:
    for case in public("textvqa_vqa_score")["cases"]:
        assert normalise(case["prediction"]) == case["norm_pred"]
        assert [normalise(answer) for answer in case["answers"]] == case["norm_gt"]
        assert vqa_accuracy(case["prediction"], tuple(case["answers"])) == pytest.approx(case["score"]), case


def test_anls() -> None:
    for case in public("docvqa_infovqa_anls")["cases"]:
        distances = [normalised_distance(case["prediction"], truth) for truth in case["answers"]]
        assert distances == pytest.approx(case["normalized_distance"])
        assert anls(case["prediction"], tuple(case["answers"])) == pytest.approx(case["score"]), case


class ScriptedJudge:
    """Says what it was told to say, and remembers how warm it was asked."""

    def __init__(self, replies: list[str]) -> None:
        self.replies, self.temperatures, self.prompts = iter(replies), list[float](), list[str]()

    def complete(self, prompt: str, temperature: float) -> str:
        self.temperatures.append(temperature)
        self.prompts.append(prompt)
        return next(self.replies)


def test_the_judges_grades_and_attempts() -> None:
    found = public("mmvet_judge")
    question = Question("1", found["line"]["question"], found["line"]["answer"])
    for case in found["cases"]:
        judge = ScriptedJudge(case["judge_outputs"])
        score = score_judged(question, found["line"]["prediction"], judge)
        assert judge.temperatures == case["temperatures"]
        if case["log"].endswith("All 5 retries failed.\n"):
            assert score.value is None  # deviation: the public scorer calls a judge's failure a wrong answer
        else:
            assert score.value == case["score"]


def test_the_judge_can_be_given_the_public_prompt() -> None:
    found = public("mmvet_judge")
    line = found["line"]
    row = "What is x in the equation? | -1 <AND> -5 | x = -1 | "
    assert found["prompt"].endswith(row)
    rubric = found["prompt"].removesuffix(row) + "{question} | {truth} | {answer} | "
    question = Question("1", line["question"], line["answer"])
    assert judge_prompt(rubric, question, line["prediction"]) == found["prompt"]


@pytest.mark.parametrize(("model", "overall"), [("llava1.5_13b", 0.367), ("qwen_vl", 0.361)])
def test_mmmu_on_real_predictions(model: str, overall: float) -> None:
    folder = SHARED / "mmmu_scoring"
    if not folder.exists():
        pytest.skip(f"{folder} is not on this machine")
    truth: dict[str, dict[str, Any]] = json.loads((folder / "answer_dict_val.json").read_text())
    given = json.loads((folder / f"{model}.total_val_output.json").read_text())
    letters = {letter: letter for letter in "ABCDEFGHI"}
    total = 0.0
    for index, entry in truth.items():
        options = letters if entry["question_type"] == "multiple-choice" else {}
        score = score_mmmu_official(Question(index, "", str(entry["ground_truth"]), options), given[index])
        total += score.value or 0.0
    assert len(truth) == 900
    assert math.isclose(round(total / len(truth), 3), overall)
