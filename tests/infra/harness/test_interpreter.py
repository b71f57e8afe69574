"""The original SimplerEnv, its scenes taken out, played by another interpreter."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dualvla_core.errors import DependencyError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.over_time import solved_over_time
from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.trajectory import read_trajectories
from dualvla_core.params import Summary
from infra.harness.interpreter import interpreter_of
from infra.harness.job import Crew, PolicySpec
from infra.harness.supervisor import run_rollouts

MakeSpec = Callable[..., PolicySpec]
ORIGINAL = Path(__file__).parent / "original"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An interpreter by another path, which alone has SimplerEnv and says what it was asked to run."""
    python = tmp_path / "other" / "python"
    python.parent.mkdir()
    path = os.pathsep.join([str(ORIGINAL), *filter(None, sys.path)])
    lines = ["#!/bin/sh", f'echo "$@" | tr "\\n" " " >> "{tmp_path}/asked"', f'echo >> "{tmp_path}/asked"']
    lines += [f'PYTHONPATH="{path}" exec "{sys.executable}" "$@"']
    python.write_text("\n".join(lines) + "\n")
    python.chmod(0o755)
    monkeypatch.setenv("DUALVLA_SIMPLER_PYTHON", str(python))
    monkeypatch.setenv("FAKE_SIMPLER_LOG", str(tmp_path / "log"))
    return python


def config(task: str, **changes: Any) -> RolloutConfig:
    trials = {"benchmark": "simpler_original", "tasks": (task,), "first_seed": 0, "episodes_per_task": 2}
    return RolloutConfig(
        **{**trials, "max_steps": 4, "execute": 2, "image_size": 32, "success_mode": "final", **changes}
    )


def play(trials: RolloutConfig, policy: PolicySpec, folder: Path) -> Summary:
    (folder / "output").mkdir()
    return run_rollouts(trials, policy, folder / "output", folder, work=folder / "work", crew=Crew(players=1))


def test_the_episodes_are_played_there_and_the_policy_stays_here(
    elsewhere: Path, spec: MakeSpec, tmp_path: Path
) -> None:
    trials = config("original_pick_can_vm", first_seed=299, episodes_per_task=1)
    summary = play(trials, spec("RandomPolicy", chunk=2, size=7, scale=0.01), tmp_path)
    assert (summary["episodes"], summary["success_rate"]) == (1, 1)
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line for line in asked if "infra.harness.player run" in line]
    assert not [line for line in asked if "policy_server" in line]
    assert read_protocol(tmp_path / "output").simulator == "mani_skill2_real2sim 0.5.3, sapien 2.2.2"
    (played,) = read_trajectories(tmp_path / "output")
    assert played.instruction == "pick coke can"
    assert np.allclose(played.states[-1, :3], played.actions[:, :3].sum(axis=0), atol=1e-5)
    assert played.states[0].tolist() == [0, 0, 0, 1, 0, 0, 0, 0.75]
    shares = solved_over_time(tmp_path / "output")
    assert shares is not None
    assert shares["original_pick_can_vm"].tolist() == [
        0,
        0,
        0,
        1,
        1,
    ]  # played on to the fourth step
    noted = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [each["what"] for each in noted] == ["made", "reset", *["moved"] * 4]
    made, reset = noted[0]["how"], noted[1]["how"]
    assert made["urdf_version"] == "recolor_cabinet_visual_matching_1"
    assert made["laid_vertically"]
    assert (made["sim_freq"], made["control_freq"]) == (513, 3)
    assert (made["scene_name"], made["rgb_overlay_cameras"]) == ("google_pick_coke_can_1_v4", ["overhead_camera"])
    assert made["rgb_overlay_path"] == "data/real_inpainting/google_coke_can_real_eval_1.png"
    assert reset["robot_init_options"] == {"init_xy": [0.35, 0.2], "init_rot_quat": [0.0, 0.0, 0.0, 1.0]}
    assert reset["obj_init_options"] == {"init_xy": [-0.12, 0.42]}


def test_success_is_what_the_last_step_says(elsewhere: Path, spec: MakeSpec, tmp_path: Path) -> None:
    policy = spec("RandomPolicy", chunk=2, size=7, scale=0.01)
    assert play(config("original_carrot_on_plate", max_steps=2), policy, tmp_path)["success_rate"] == 0
    noted = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert {abs(each["how"][6]) for each in noted if each["what"] == "moved"} == {
        1.0
    }  # open or closed, nothing between
    resets = [each["how"]["obj_init_options"] for each in noted if each["what"] == "reset"]
    assert resets == [{"episode_id": 0}, {"episode_id": 1}]


def test_without_an_interpreter_a_sentence_says_what_to_set(
    spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DUALVLA_SIMPLER_PYTHON", raising=False)
    with pytest.raises(DependencyError, match="interpreter of its own, and DUALVLA_SIMPLER_PYTHON is not set"):
        play(config("original_stack_cube"), spec(), tmp_path)
    monkeypatch.setenv("DUALVLA_SIMPLER_PYTHON", str(tmp_path / "none"))
    with pytest.raises(DependencyError, match=r"names .*none, which is no file"):
        interpreter_of("simpler_original")
    assert interpreter_of("metaworld") == Path(sys.executable)


def test_an_interpreter_without_simplerenv_is_told_before_anything_is_played(
    spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUALVLA_SIMPLER_PYTHON", sys.executable)
    with pytest.raises(DependencyError, match=r"cannot play .*mani_skill2_real2sim"):
        play(config("original_stack_cube"), spec(), tmp_path)
    assert not (tmp_path / "work").exists()
