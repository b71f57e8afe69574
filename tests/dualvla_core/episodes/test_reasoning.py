from __future__ import annotations

from dualvla_core.episodes.reasoning import parse_reasoning, render_reasoning


def test_reasoning_round_trip() -> None:
    pieces = (("plan", "Go: then pull."), ("subtask", "Pull the\n handle."))
    text = render_reasoning(pieces)
    assert text == "plan: Go: then pull.\nsubtask: Pull the handle."
    assert parse_reasoning(text) == (("plan", "Go: then pull."), ("subtask", "Pull the handle."))
    assert render_reasoning(()) == ""
    assert parse_reasoning("") == ()


def test_a_generated_line_without_style_is_kept() -> None:
    assert parse_reasoning("Pull now.\nmotion: Back.") == (("", "Pull now."), ("motion", "Back."))
