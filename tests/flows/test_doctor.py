from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dualvla_core.errors import ConfigError, DependencyError
from flows.cli import app
from infra import simulator


def test_a_table_a_line_per_check_and_exit_status_0(shared_data: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", str(shared_data / "bridge_rlds_octo")])
    assert result.exit_code == 0, result.output
    assert "RLDS (TFDS 1.0.0), read as widowx_bridge_rlds" in result.output
    assert "25 episodes repeat an earlier one" in result.output
    assert "38 more: --all or --json" in result.output


def test_json_holds_every_episode_and_every_quality_in_a_column_of_its_own(shared_data: Path) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", str(shared_data / "bridge_rlds_octo")])
    found = json.loads(result.output)
    assert found["sound"] is True
    assert len(found["qualities"]) == 50
    columns = {"episode_index", "episode", "frames", "seconds", "path", "jerk", "static_fraction"}
    assert found["qualities"][0].keys() == columns


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("pusht_lerobot_v1_legacy", "in the layout LeRobot v1"),
        ("sweep_franka_v20_lfs_pointer", "git-LFS pointer"),
        ("mmmu_scoring", "No known layout was recognised"),
        ("real_robot_videos", "No known layout was recognised"),
    ],
)
def test_errors_end_with_exit_status_1(shared_data: Path, name: str, sentence: str) -> None:
    result = CliRunner().invoke(app, ["doctor", "--json", str(shared_data / name)])
    assert result.exit_code == 1
    assert sentence in json.loads(result.output)["checks"][0]["finding"]


@pytest.mark.parametrize("words", [[], ["--fix"], ["--simulator", "somewhere"], ["somewhere", "--fix"]])
def test_either_a_dataset_or_the_simulator_is_checked(words: list[str]) -> None:
    result = CliRunner().invoke(app, ["doctor", *words])
    assert isinstance(result.exception, ConfigError)


def test_what_the_simulator_lacks_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulator, "find_spec", lambda _: None)
    result = CliRunner().invoke(app, ["doctor", "--simulator"])
    assert isinstance(result.exception, DependencyError)
    assert "make simulator" in str(result.exception)
