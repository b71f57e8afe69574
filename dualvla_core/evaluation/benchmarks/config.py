"""What the multimodal benchmarks can be told."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from pydantic import Field, model_validator

from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.rules.judged import RUBRIC
from dualvla_core.params import Params

RuleName: TypeAlias = Literal[
    "multiple_choice",
    "circular",
    "mmmu",
    "mmmu_official",
    "vqa_accuracy",
    "anls",
    "containment",
    "judge",
    "exact_match",
]
PromptStyle: TypeAlias = Literal["multiple_choice", "short_answer", "question"]


class PromptConfig(Params):
    """How a question is put to the policy."""

    style: PromptStyle = Field(description="Question with its options, question for a short answer, or bare question")
    choice_request: str = Field(
        default="Choose the right option from the list above and answer with its letter.",
        description="What follows the options",
    )
    short_request: str = Field(
        default="Answer the question using a single word or phrase.", description="What follows a short question"
    )


class GenerationConfig(Params):
    """How a policy is asked; everything its answers depend on but the policy and the questions."""

    prompt: PromptConfig = Field(description="How the questions are put")
    max_tokens: int = Field(default=512, ge=1, description="Longest answer (tokens)")


class TextJudgeConfig(Params):
    """The language model that grades free answers."""

    model: str = Field(description="Name of the model at the judge's endpoint")
    rubric: str = Field(default=RUBRIC, description="Instructions; {question}, {truth} and {answer} are filled in")

    @model_validator(mode="after")
    def _the_rubric_has_its_places(self) -> TextJudgeConfig:
        absent = [name for name in ("{question}", "{truth}", "{answer}") if name not in self.rubric]
        if absent:
            raise ValueError(f"the rubric lacks {', '.join(absent)}")
        return self


class ScoringConfig(Params):
    """How predictions are scored; re-scoring asks no policy."""

    benchmark: str = Field(description="Name of the benchmark")
    rule: RuleName = Field(description="The rule that turns an answer into a score")
    split: str | None = Field(default=None, description="The split that counts; none = every question")
    judge: TextJudgeConfig | None = Field(default=None, description="Who grades, where the rule asks for a judge")


class BenchmarkConfig(Params):
    """One benchmark: its questions, how they are asked, and how the answers are scored.

    For a benchmark of the catalogue (`dualvla benchmarks list`) name and path are enough.
    """

    name: str = Field(min_length=1, description="Name of the benchmark")
    path: str = Field(min_length=1, description="TSV file in VLMEvalKit's layout")
    prompt: PromptStyle = Field(description="How the questions are put")
    rule: RuleName = Field(description="The rule that turns an answer into a score")
    split: str | None = Field(default=None, description="The split that counts; none = every question")
    max_tokens: int = Field(default=512, ge=1, description="Longest answer (tokens)")

    @model_validator(mode="before")
    @classmethod
    def _from_the_catalogue(cls, given: Any) -> Any:
        known = CATALOGUE.get(str(given.get("name"))) if isinstance(given, dict) else None
        if known is None:
            return given
        return {"prompt": known.prompt, "rule": known.rule, "split": known.split, **given}

    def generation(self) -> GenerationConfig:
        """How a policy is asked."""
        return GenerationConfig(prompt=PromptConfig(style=self.prompt), max_tokens=self.max_tokens)

    def scoring(self, judge: TextJudgeConfig | None) -> ScoringConfig:
        """How its answers are scored."""
        return ScoringConfig(
            benchmark=self.name, rule=self.rule, split=self.split, judge=judge if self.rule == "judge" else None
        )


class QuestionSetConfig(Params):
    """This project's own visual questions, asked and scored as one more benchmark."""

    split: Literal["train", "held_out"] = Field(default="held_out", description="Which questions are asked")
    max_tokens: int = Field(default=64, ge=1, description="Longest answer (tokens)")

    def generation(self) -> GenerationConfig:
        """How a policy is asked."""
        return GenerationConfig(prompt=PromptConfig(style="question"), max_tokens=self.max_tokens)

    def scoring(self) -> ScoringConfig:
        """How its answers are scored."""
        return ScoringConfig(benchmark="questions", rule="exact_match")
