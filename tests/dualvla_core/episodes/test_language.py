from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dualvla_core.episodes.language import frame_reasoning
from dualvla_core.schemas import REASONING

TIMES = np.array([0.0, 0.1, 0.2, 0.3])


def row(style: str | None, content: str | None, timestamp: float, role: str = "assistant") -> dict[str, Any]:
    extra = {"camera": None, "tool_calls": None}
    return {"role": role, "content": content, "style": style, "timestamp": timestamp, **extra}


def reasoning(**columns: Sequence[list[dict[str, Any]] | None]) -> list[Any]:
    found = frame_reasoning(pa.table(columns), TIMES)
    assert found is not None
    assert found.type == REASONING
    return [[(piece["style"], piece["content"]) for piece in frame] for frame in found.to_pylist()]


def test_a_row_is_in_force_until_the_next_of_its_style() -> None:
    rows = [
        row("plan", "open it", 0.0),
        row("subtask", "reach", 0.1),
        row("subtask", "pull", float(np.float32(0.3))),  # stored as float32, a little after 0.3
    ]
    plan = ("plan", "open it")
    assert reasoning(language_persistent=[rows] * 4) == [
        [plan],
        [plan, ("subtask", "reach")],
        [plan, ("subtask", "reach")],
        [plan, ("subtask", "pull")],
    ]


def test_order_is_that_of_the_styles_first_rows_not_of_time() -> None:
    rows = [row("subtask", "late", 0.2), row("plan", "early", 0.0), row("subtask", "first", 0.1)]
    found = reasoning(language_persistent=[rows] * 4)
    assert found[1] == [("subtask", "first"), ("plan", "early")]
    assert found[3] == [("subtask", "late"), ("plan", "early")]


def test_of_two_rows_at_one_time_the_later_one_counts() -> None:
    rows = [row("plan", "a", 0.0), row("plan", "b", 0.0)]
    assert reasoning(language_persistent=[rows] * 4)[0] == [("plan", "b")]


def test_the_users_words_and_rows_without_text_are_no_reasoning() -> None:
    rows = [row("task_aug", "please open", 0, "user"), row("plan", None, 0), row(None, "hm", 0), row("plan", "go", 0)]
    assert reasoning(language_persistent=[rows] * 4)[0] == [("plan", "go")]


def test_an_event_belongs_to_its_frame_only_and_follows() -> None:
    event = {"role": "assistant", "content": "a red block", "style": "vqa", "camera": "front", "tool_calls": None}
    persistent = [[row("plan", "go", 0.0)]] * 4
    found = reasoning(language_persistent=persistent, language_events=[[], [event], [], None])
    assert found == [[("plan", "go")], [("plan", "go"), ("vqa", "a red block")], [("plan", "go")], [("plan", "go")]]


def test_no_language_means_none() -> None:
    assert frame_reasoning(pa.table({"x": [1, 2, 3, 4]}), TIMES) is None
    empty = pa.array([[]] * 4, pa.list_(pa.struct({"role": pa.string()})))
    assert frame_reasoning(pa.table({"language_events": empty}), TIMES) is None
