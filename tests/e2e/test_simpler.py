"""SimplerEnv in closed loop: demonstrations recorded in it, policies trained on them, episodes of its own ids."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine

pytestmark = pytest.mark.skipif(
    find_spec("mani_skill") is None or find_spec("deepspeed") is None, reason="the extras are not installed"
)

SMALL = {
    "record.tasks": "[widowx_stack_cube]",
    "record.episodes_per_task": "3",
    "learning.model.max_text_tokens": "256",
    "record.first_seed": "1002",
    "record.max_steps": "60",
    "dataset.held_out_fraction": "0.5",
    "evaluation.rollouts.benchmark": "simpler_env",
    "evaluation.rollouts.tasks": "[widowx_stack_cube]",
    "evaluation.rollouts.first_seed": "0",
    "evaluation.rollouts.max_steps": "12",
    "evaluation.rollouts.success_mode": "final",
}


@pytest.mark.slow
def test_policies_trained_on_generated_demonstrations_play_the_benchmarks_episodes(
    command_line: Callable[..., CommandLine], simpler_env: None, tmp_path: Path
) -> None:
    command = command_line(tmp_path / "home")
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    found = command("run", "--preset", "minimal", *settings)
    assert found.returncode == 0, found.stderr
    assert {"train_specialist": 1, "distill_student": 1, "run_rollouts": 3}.items() <= found.executed.items()
    page = Path(found.last_line)
    policies = json.loads(page.with_suffix(".json").read_text())["results"]["policies"]
    assert [policy["success"]["trials"] for policy in policies] == [1, 1, 1]
    protocols = [json.loads(path.read_text()) for path in (tmp_path / "home").rglob("protocol.json")]
    assert len(protocols) >= 3
    assert all(protocol["benchmark"] == "simpler_env" for protocol in protocols)
    assert all(protocol["success_mode"] == "final" for protocol in protocols)
    protocol = tmp_path / "protocol.yaml"
    protocol.write_text(
        "trials: [{benchmark: simpler_env, tasks: [widowx_stack_cube], first_seed: 7, "
        "episodes_per_task: 2, max_steps: 4, success_mode: latched, image_size: 32}]"
    )
    playing = ("play", "distill_student/", "--protocol", str(protocol), "--processes", "2", "--batch", "2")
    played = command(*playing)
    assert played.returncode == 0, played.stderr
    assert played.executed == {"run_rollouts": 1}
    assert re.search(r"widowx_stack_cube +\d+\.\d% of 2 episodes succeed", played.stdout)
    assert "simpler_env" in played.stdout
    assert played.last_line.startswith("run_rollouts/")
    assert "-play-protocol-" in command("runs", "ls").stdout
    assert "1 hits, 0 misses" in command(*playing, "--dry-run").stdout
