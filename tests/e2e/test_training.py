"""Every stage of the method on the smallest configuration: three trainings, rollouts, answers, score."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = pytest.mark.skipif(
    find_spec("metaworld") is None or find_spec("deepspeed") is None, reason="the extras are not installed"
)


def test_from_nothing_to_a_score_and_a_changed_distillation_distils_again(
    command_line: Callable[..., CommandLine], tmp_path: Path
) -> None:
    command = command_line(tmp_path / "home")
    first = command("run", "--preset", "minimal")
    assert first.returncode == 0, first.stderr
    trained = {"train_specialist": 1, "train_generalist": 1, "distill_student": 1}
    measured = {
        "run_rollouts": 3,
        "score_trajectories": 3,
        "measure_open_loop": 3,
        "read_question_set": 1,
        "predict_answers": 2,
        "score_answers": 2,
    }
    assert (trained | measured).items() <= first.executed.items()
    page = Path(first.last_line)
    results = json.loads(page.with_suffix(".json").read_text())["results"]["policies"]
    assert [policy["name"] for policy in results] == ["specialist", "generalist", "dualvla"]
    for policy in results:
        assert f"{policy['name']:<12} rule_score" in first.stdout
        assert policy["success"]["trials"] == 1
        assert policy["checkpoint"] in (page.parent / "cards" / f"{policy['name']}.md").read_text()
    assert page.read_text().count("<video") == 3
    assert command("run", "--preset", "minimal").executed == {}
    cached = "learning.distillation={weight: 0.5, teachers: cached}"
    changed = command("run", "--preset", "minimal", "--set", cached)
    assert changed.returncode == 0, changed.stderr
    assert changed.executed == {
        "cache_teacher_outputs": 1,
        "distill_student": 1,
        "run_rollouts": 1,
        "score_trajectories": 1,
        "measure_open_loop": 1,
        "predict_answers": 1,
        "score_answers": 1,
        "publish_report": 1,
    }
