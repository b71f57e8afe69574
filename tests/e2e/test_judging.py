"""Judging through its commands: a probe, and rollouts that were trained, scored, reviewed and compared."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("metaworld") is None or find_spec("deepspeed") is None, reason="no extras"),
]


def test_the_rule_judge_is_probed(command_line: Callable[..., CommandLine], tmp_path: Path) -> None:
    command = command_line(tmp_path / "home")
    first = command("judge", "probe", "--episodes", "1")
    assert first.returncode == 0, first.stderr
    assert first.executed == {"record_experts": 1, "probe_judge": 1}
    assert "rules (rules" in first.stdout
    assert Path(first.last_line).read_text().count("shuffled reasoning") > 3
    assert command("judge", "probe", "--episodes", "1").executed == {}


def test_rollouts_are_scored_again_reviewed_and_compared(
    command_line: Callable[..., CommandLine], tmp_path: Path
) -> None:
    command = command_line(tmp_path / "home")
    assert command("run", "--preset", "minimal").returncode == 0
    scored = command("judge", "score", "--preset", "minimal")
    assert scored.returncode == 0, scored.stderr
    assert scored.executed == {"publish_scores": 1}  # the run had scored them
    page = Path(scored.last_line)
    assert "rule score (proxy)" in page.read_text()
    assert len(list((page.parent / "attempts").iterdir())) == 3
    built = command("kb", "build", "--preset", "minimal", "--size", "3")
    assert built.returncode == 0, built.stderr
    base, review = built.stdout.splitlines()[-2], Path(built.last_line).parent / "review.csv"
    rows = list(csv.DictReader(review.open(newline="")))
    rows[0] |= {"reviewer": "Ada", "action": "1"}
    filled = tmp_path / "filled.csv"
    with filled.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    reviewed = command("kb", "review", base, str(filled))
    assert reviewed.returncode == 0, reviewed.stderr
    assert "Ada" in command("kb", "show", reviewed.stdout.splitlines()[-2]).stdout
