"""Every rule by its name in the configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from dualvla_core.evaluation.benchmarks.config import ScoringConfig
from dualvla_core.evaluation.benchmarks.question import Question
from dualvla_core.evaluation.benchmarks.rules.anls import score_anls
from dualvla_core.evaluation.benchmarks.rules.containment import TEXT_RECOGNITION, score_containment
from dualvla_core.evaluation.benchmarks.rules.exact_match import score_exact
from dualvla_core.evaluation.benchmarks.rules.judged import CAPABILITIES, Judge, score_judged
from dualvla_core.evaluation.benchmarks.rules.mmmu_official import score_mmmu_official
from dualvla_core.evaluation.benchmarks.rules.multiple_choice import score_choice, score_mmmu
from dualvla_core.evaluation.benchmarks.rules.score import Score
from dualvla_core.evaluation.benchmarks.rules.vqa_accuracy import score_vqa

Rule: TypeAlias = Callable[[Question, str], Score]
NO_JUDGE = "no judge was configured: set evaluation.judge.model, and the address of its endpoint"

RULES: Mapping[str, Rule] = {
    "multiple_choice": score_choice,
    "circular": score_choice,  # every rotation; all of them must be right
    "mmmu": score_mmmu,
    "mmmu_official": score_mmmu_official,
    "vqa_accuracy": score_vqa,
    "anls": score_anls,
    "containment": score_containment,
    "exact_match": score_exact,
}


def rule_of(params: ScoringConfig, judge: Judge | None) -> Rule:
    """The rule that scores one answer; without its judge, every answer is missing its score."""
    if params.rule != "judge":
        return RULES[params.rule]
    config = params.judge

    def graded(question: Question, answer: str) -> Score:
        if config is None or judge is None:
            return Score(None, None, NO_JUDGE)
        return score_judged(question, answer, judge, config.rubric)

    return graded


def levels_of(rule: str, question: Question) -> list[tuple[str, str]]:
    """The groups a question counts in beside the overall one, as ``(level, name)``."""
    found = [("l2-category", question.super_category), ("category", question.category)]
    category = question.category or ""
    if rule == "containment" and category in TEXT_RECOGNITION:
        found.append(("group", "Text Recognition"))
    if rule == "judge":
        found += [("capability", each) for each in CAPABILITIES if each in category]
    return [(level, name) for level, name in found if name]
