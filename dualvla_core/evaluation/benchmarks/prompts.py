"""How a benchmark's question becomes what the policy reads; the layout is VLMEvalKit's."""

from __future__ import annotations

from dualvla_core.evaluation.benchmarks.config import PromptConfig
from dualvla_core.evaluation.benchmarks.question import Question


def build_prompt(params: PromptConfig, question: Question) -> str:
    """The text that follows the question's images.

    MMMU's ``<image 1>`` marks stay in the text as references: all images come first.
    """
    if params.style == "question":
        return question.text
    if params.style == "short_answer":
        return f"{question.text}\n{params.short_request}"
    lines = [] if question.hint is None else [f"Hint: {question.hint}"]
    lines.append(f"Question: {question.text}")
    if question.options:
        lines.append("Options:")
        lines += [f"{letter}. {text}" for letter, text in question.options.items()]
        lines.append(params.choice_request)
    return "\n".join(lines)
