"""From predictions to scores, per group and in all; no policy is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.config import ScoringConfig
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.judged import Judge
from dualvla_core.evaluation.benchmarks.rules.registry import levels_of, rule_of
from dualvla_core.evaluation.benchmarks.rules.score import Score
from dualvla_core.evaluation.benchmarks.tables import (
    GROUPS,
    GROUPS_FILE,
    PREDICTIONS,
    PREDICTIONS_FILE,
    QUESTIONS,
    QUESTIONS_FILE,
    question_of,
    read_rows,
    write_table,
)
from dualvla_core.evaluation.statistics import wilson_interval
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent

OVERALL = "overall"
_ROTATIONS_START = 1_000_000  # VLMEvalKit numbers a question's rotations by adding multiples of this
_NOT_ANSWERED = Score(None, None, "the policy gave no answer")


@dataclass(frozen=True)
class Item:
    """What is counted: a question, or a question with all of its rotations."""

    question: Question
    score: float | None
    """The least score of its questions; None where one of them is missing."""
    unparsed: bool


def score_predictions(
    params: ScoringConfig,
    questions: Path,
    predictions: Path,
    output: Path,
    judge: Judge | None = None,
    progress: Progress = silent,
) -> Summary:
    """Score every answer; write ``answers.parquet`` and ``groups.parquet``.

    Args:
        params: which rule, and what is reported.
        questions: folder of a benchmark.
        predictions: folder of the answers to its questions.
        output: an empty folder.
        judge: who grades, for the rule that asks for it.
        progress: told the number of questions scored.

    Returns:
        Counts of items, of missing and of unparsed ones, and ``complete``. Only where it is "yes": ``accuracy`` with
        its 95 % interval, ``category_mean`` (over categories) and each category's as ``<category>.accuracy``, all in
        [0, 1].

    Raises:
        DatasetError: when the predictions are not those of this benchmark, or nothing of it can be counted.
    """
    rows = read_rows(questions / QUESTIONS_FILE, QUESTIONS)
    given = {row["index"]: row["prediction"] for row in read_rows(predictions / PREDICTIONS_FILE, PREDICTIONS)}
    _check(rows, given, params)
    rule = rule_of(params, judge)
    answers, scored = [], []
    for row in rows:
        question = question_of(row)
        answer = given.get(question.index)
        score = _NOT_ANSWERED if answer is None else rule(question, answer)
        if answer is not None and not answer.strip():
            score = replace(score, understood=None, note=score.note or "the answer is empty")
        item = _item_name(question) if params.rule == "circular" else question.index
        answers.append(_answer_row(item, question, answer, score))
        scored.append((item, question, score))
        progress(len(answers), len(rows))
    items = _items(scored)
    groups = group_scores(items, params)
    if not groups:
        raise DatasetError(
            f"No question of {params.benchmark} is of the split {params.split!r}; its splits are "
            f"{sorted({item.question.split or 'none' for item in items})}."
        )
    write_table(answers, ANSWERS, output / ANSWERS_FILE)
    write_table(groups, GROUPS, output / GROUPS_FILE)
    return _summary(params, groups)


def _check(rows: Sequence[dict[str, Any]], given: Mapping[str, str], params: ScoringConfig) -> None:
    strange = sorted(given.keys() - {row["index"] for row in rows})
    if strange:
        raise DatasetError(
            f"The predictions answer {len(strange)} questions that {params.benchmark} does not have, such as "
            f"{strange[0]!r}; give those of this benchmark."
        )
    unknown = [row["index"] for row in rows if row["answer"] is None]
    if unknown:
        raise DatasetError(
            f"{len(unknown)} questions of {params.benchmark} come without an answer, such as {unknown[0]!r}; export "
            "the predictions and hand them to the benchmark's own server."
        )


def _item_name(question: Question) -> str:
    """The question of which this one is a rotation."""
    if question.group is not None:
        return question.group
    if not question.index.isdecimal():
        raise DatasetError(f"Question {question.index!r} has no number, so its rotations cannot be told; add g_index.")
    return str(int(question.index) % _ROTATIONS_START)


def _items(scored: Iterable[tuple[str, Question, Score]]) -> list[Item]:
    """Questions put together with their rotations, in order."""
    found: dict[str, list[tuple[Question, Score]]] = {}
    for name, question, score in scored:
        found.setdefault(name, []).append((question, score))
    items = []
    for name, rotations in found.items():
        main = next((question for question, _ in rotations if question.index == name), None)
        if main is None:
            raise DatasetError(f"There are rotations of question {name!r}, but not the question itself; mend the file.")
        values = [score.value for _, score in rotations]
        known = [value for value in values if value is not None]
        unparsed = any(score.value is not None and score.understood is None for _, score in rotations)
        items.append(Item(main, min(known) if len(known) == len(values) else None, unparsed))
    return items


def group_scores(items: Sequence[Item], params: ScoringConfig) -> list[dict[str, Any]]:
    """Rows of `GROUPS`: what is reported first (split null), then every split by itself where there are several."""
    reported = [item for item in items if params.split in (None, item.question.split)]
    if not reported:
        return []
    rows = _split_rows(None, reported, params.rule)
    splits = sorted({item.question.split for item in items if item.question.split})
    if len(splits) > 1:
        for split in splits:
            rows += _split_rows(split, [item for item in items if item.question.split == split], params.rule)
    return rows


def _split_rows(split: str | None, items: Sequence[Item], rule: str) -> list[dict[str, Any]]:
    members: dict[tuple[str, str], list[Item]] = {(OVERALL, OVERALL): list(items)}
    for item in items:
        for level in levels_of(rule, item.question):
            members.setdefault(level, []).append(item)
    ordered = sorted(members, key=lambda key: (key[0] != OVERALL, key))
    return [{"split": split, "level": key[0], "name": key[1], **_mean(members[key])} for key in ordered]


def _mean(items: Sequence[Item]) -> dict[str, Any]:
    known = [item.score for item in items if item.score is not None]
    complete = len(known) == len(items)
    low, high = wilson_interval(sum(known), len(known))
    return {
        "items": len(items),
        "missing": len(items) - len(known),
        "unparsed": sum(item.unparsed for item in items),
        "score": sum(known) / len(known) if complete else None,
        "low": low if complete else None,
        "high": high if complete else None,
    }


def _answer_row(item: str, question: Question, answer: str | None, score: Score) -> dict[str, Any]:
    return {
        "index": question.index,
        "item": item,
        "category": question.category,
        "split": question.split,
        "question": question.text,
        "expected": question.answer,
        "answer": answer,
        "understood": score.understood,
        "score": score.value,
        "note": score.note,
    }


def _summary(params: ScoringConfig, groups: Sequence[dict[str, Any]]) -> Summary:
    overall = groups[0]
    summary: Summary = {
        "benchmark": params.benchmark,
        "questions": overall["items"],
        "missing": overall["missing"],
        "unparsed": overall["unparsed"],
        "complete": "no" if overall["missing"] else "yes",
    }
    if overall["missing"]:
        return summary
    categories = [row for row in groups if row["split"] is None and row["level"] == "category"]
    summary |= {"accuracy": overall["score"], "accuracy_low": overall["low"], "accuracy_high": overall["high"]}
    if categories:
        summary["category_mean"] = sum(row["score"] for row in categories) / len(categories)
    return summary | {f"{row['name']}.accuracy": row["score"] for row in categories}
