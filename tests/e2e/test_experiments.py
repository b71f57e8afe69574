"""Experiments from nothing to their report, on the smallest configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("metaworld") is None or find_spec("deepspeed") is None, reason="the extras are not installed"
    ),
]


def test_experiments_share_their_stages_and_grow_by_seeds(
    command_line: Callable[..., CommandLine], tmp_path: Path
) -> None:
    command = command_line(tmp_path / "home")
    first = command("experiment", "teachers", "--preset", "minimal", "--seeds", "1")
    assert first.returncode == 0, first.stderr
    assert {"train_specialist": 1, "train_generalist": 1, "distill_student": 4}.items() <= first.executed.items()
    second = command("experiment", "teachers", "--preset", "minimal", "--seeds", "2")
    assert second.executed["distill_student"] == 4, "only the new seed's"
    found = json.loads(Path(second.last_line).with_suffix(".json").read_text())
    assert (found["seeds"], list(found["variants"])) == ([0, 1], ["both", "action_only", "reasoning_only", "neither"])
    pruning = command("experiment", "pruning", "--preset", "minimal", "--seeds", "2")
    assert "train_specialist" not in pruning.executed, "the teachers' are the same"
    assert pruning.executed["distill_student"] == 10, "dual is the students' of both teachers"
    degeneration = command("experiment", "degeneration", "--preset", "minimal", "--seeds", "1")
    assert degeneration.executed["train_generalist"] == 3, "the whole length was there"
    assert "distill_student" not in degeneration.executed
