"""One question of a benchmark, as the rules see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Question:
    """A row of a benchmark without its images."""

    index: str
    """Names it within the benchmark."""
    text: str
    answer: str
    """The cell as it stands: a letter, a text, or a list of accepted texts written as Python does."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Letter to text, in alphabetical order; empty for an open question."""
    hint: str | None = None
    category: str | None = None
    super_category: str | None = None
    """VLMEvalKit's ``l2-category``."""
    split: str | None = None
    group: str | None = None
    """VLMEvalKit's ``g_index``: the question of which this is a rotation."""
