"""Real robots go through without code for them, and again from another machine over S3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import CommandLine
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, S3Service


def test_humanoid_without_gripper_or_pose_on_s3_and_from_an_empty_disk(
    shared_data: Path, tmp_path: Path, command_line: Callable[..., CommandLine], s3_service: S3Service
) -> None:
    remote = {
        "DUALVLA_STORE": f"s3://{s3_service.make_bucket()}/team",
        "DUALVLA_S3_ENDPOINT": s3_service.endpoint_url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    dataset = str(shared_data / "g1_real_lerobot_v21")
    first = command_line(tmp_path / "one", **remote)("curate", "--dataset", dataset)
    assert first.returncode == 0, first.stderr
    report = json.loads(Path(first.last_line).with_suffix(".json").read_text())
    assert (report["totals"]["episodes"], report["totals"]["frames"]) == (4, 1461)
    shutil.rmtree(tmp_path / "one")
    second = command_line(tmp_path / "two", **remote)("curate", "--dataset", dataset)
    assert second.returncode == 0, second.stderr
    assert second.executed == {}
    assert json.loads(Path(second.last_line).with_suffix(".json").read_text()) == report


@pytest.mark.skipif(find_spec("deepspeed") is None, reason="the extra is not installed")
def test_policies_of_a_bimanual_robot_are_measured_on_held_out_demonstrations(
    shared_data: Path, tmp_path: Path, command_line: Callable[..., CommandLine]
) -> None:
    dataset = str(shared_data / "aloha_sim_lerobot_v30")
    finished = command_line(tmp_path)("run", "--preset", "minimal", "--dataset", dataset)
    assert finished.returncode == 0, finished.stderr
    report = json.loads(Path(finished.last_line).with_suffix(".json").read_text())
    assert (report["totals"]["episodes"], report["totals"]["frames"]) == (3, 1300)
    assert 0.02 < report["totals"]["ratio"] < 0.5
    assert "There are no visual questions beside these demonstrations" in finished.stdout
    for policy in report["results"]["policies"]:
        assert policy["success"] is None
        assert policy["open_loop"]["error"] > 0
