"""The text of one frame's embodied reasoning, and its pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Reasoning: TypeAlias = Sequence[tuple[str, str]]
"""Ordered pieces of embodied reasoning: style and content."""


def render_reasoning(pieces: Reasoning) -> str:
    """One line per piece, ``style: content``."""
    return "\n".join(f"{style}: {' '.join(content.split())}" for style, content in pieces)


def parse_reasoning(text: str) -> tuple[tuple[str, str], ...]:
    """The pieces of a rendered reasoning; a line without a style gets an empty one. Inverse of `render_reasoning`."""
    pieces = []
    for line in text.splitlines():
        style, colon, content = line.partition(": ")
        pieces.append((style, content) if colon else ("", line))
    return tuple(pieces)
