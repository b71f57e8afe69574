"""Predictions from a file, scored, compared and handed on at the command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from tests.dualvla_core.evaluation.benchmarks.conftest import picture, write_tsv
from tests.e2e.conftest import CommandLine

OPTIONS = {"A": "apples", "B": "pears", "C": "plums"}


def test_files_are_scored_compared_and_exported(command_line: Callable[..., CommandLine], tmp_path: Path) -> None:
    command = command_line(tmp_path / "home")
    rows = [{"index": n, "question": "?", **OPTIONS, "answer": "A", "image": picture(9)} for n in range(4)]
    data = str(write_tsv(tmp_path / "MMStar.tsv", rows))
    names = []
    for model, answers in (("one", ["A", "A", "apples", "B"]), ("two", ["A", "B", "who knows", "C"])):
        file = tmp_path / f"{model}_MMStar.json"
        file.write_text(json.dumps([{"index": n, "prediction": answer} for n, answer in enumerate(answers)]))
        scored = command("benchmarks", "score", str(file), "--data", data)
        assert scored.returncode == 0, scored.stderr
        assert ("who knows" in scored.stdout) is (model == "two")
        names += re.findall(r"^(score_answers/\S+)$", scored.stdout, re.M)
    assert "25.0" in command("benchmarks", "show", names[1]).stdout
    compared = command("compare", *names)
    assert re.search(r"all +│ 4 +│ 75\.0 +│ 25\.0 +│ \+50\.0", compared.stdout), compared.stdout
    exported = tmp_path / "again_MMStar.xlsx"
    assert command("benchmarks", "export", names[1], str(exported)).returncode == 0
    again = command("benchmarks", "score", str(exported), "--data", data)
    assert names[1] in again.stdout, "the same predictions are the same artifact"
    other = command("benchmarks", "score", str(exported), "--data", data, "--rule", "exact_match")
    refused = command("compare", names[0], *re.findall(r"^(score_answers/\S+)$", other.stdout, re.M))
    assert refused.returncode == 1
    assert "rule is 'multiple_choice' in the first and 'exact_match' in the second" in refused.stderr
