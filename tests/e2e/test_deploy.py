"""Deployments on a real server: schedules schedule, many arrivals make one run, limits and automations exist."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from dualvla_core.pipeline_config import PipelineConfig
from flows.arrivals import arrivals, watch
from infra.object_store import open_store
from tasks.stage import RunContext, open_artifacts
from tests.dualvla_core.episodes.conftest import Demo, write_v2
from tests.e2e.conftest import CommandLine
from tests.seaweedfs import ACCESS_KEY, SECRET_KEY, S3Service


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory, command_line: Callable[..., CommandLine]
) -> tuple[CommandLine, Callable[..., Any]]:
    """A command line that has deployed, and a way to ask the server."""
    command = command_line(tmp_path_factory.mktemp("home"))
    hook = ("--notify-url", "http://127.0.0.1:9/hook")
    finished = command("deploy", "--preset", "minimal", "--train-cron", "0 2 * * *", "--limit", "gpu=3", *hook)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("deployed ") == 4
    api = command.environment["PREFECT_API_URL"]

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{api}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as response:
            return json.load(response)

    return command, ask


def flow_runs(ask: Callable[..., Any], flow: str) -> list[dict[str, Any]]:
    """The runs of a flow's deployment; others on this server belong to other tests."""
    runs = ask("flow_runs/filter", {"flows": {"name": {"any_": [flow]}}})
    return [run for run in runs if run["deployment_id"] is not None]


def wait_for(question: Callable[[], list[Any]], within_s: float = 90) -> list[Any]:
    deadline = time.monotonic() + within_s
    while not (found := question()):
        assert time.monotonic() < deadline, "nothing came of it"
        time.sleep(0.5)
    return found


def test_a_cron_schedule_really_gets_scheduled_runs(deployed: tuple[CommandLine, Callable[..., Any]]) -> None:
    _, ask = deployed
    found = wait_for(lambda: flow_runs(ask, "train"))
    assert {run["state"]["type"] for run in found} == {"SCHEDULED"}
    assert {datetime.fromisoformat(run["expected_start_time"]).hour for run in found} == {2}
    assert "dualvla-deployed" in found[0]["tags"]


def test_limits_pool_and_automations_exist(deployed: tuple[CommandLine, Callable[..., Any]]) -> None:
    _, ask = deployed
    limits = {each["tag"]: each["concurrency_limit"] for each in ask("concurrency_limits/filter", {})}
    assert limits == {"decode": 2, "gpu": 3, "judge": 4}
    assert ask("work_pools/dualvla")["type"] == "process"
    names = {each["name"] for each in ask("automations/filter", {})}
    assert {"dualvla: mark dead runs", "dualvla: begin crashed runs again", "dualvla: tell failures"} <= names


def test_the_form_of_a_run_describes_every_parameter(deployed: tuple[CommandLine, Callable[..., Any]]) -> None:
    _, ask = deployed
    schema = ask("deployments/name/curate/minimal")["parameter_openapi_schema"]
    pruning = schema["definitions"]["PruningConfig"]["properties"]
    assert all(field.get("description") for field in pruning.values())


def test_many_arrivals_make_one_run_of_curation(
    deployed: tuple[CommandLine, Callable[..., Any]], tmp_path: Path
) -> None:
    command, ask = deployed
    for _ in range(3):
        assert command("notify", "--dataset", str(tmp_path)).returncode == 0
    found = wait_for(lambda: flow_runs(ask, "arrivals"))
    time.sleep(3)
    assert len(flow_runs(ask, "arrivals")) == 1
    assert found[0]["parameters"]["dataset"] == str(tmp_path)
    assert len(flow_runs(ask, "curate")) == 0


def test_a_limit_of_nothing_known_is_refused(deployed: tuple[CommandLine, Callable[..., Any]]) -> None:
    command, _ = deployed
    finished = command("deploy", "--limit", "tpu=1")
    assert finished.returncode == 1
    assert finished.stderr.startswith("dualvla: The limit 'tpu=1' was given; expected TAG=NUMBER")


def test_without_a_server_the_sentence_says_how_to_get_one(
    command_line: Callable[..., CommandLine], tmp_path: Path
) -> None:
    finished = command_line(tmp_path, PREFECT_API_URL="http://127.0.0.1:9/api")("notify", "--dataset", "x")
    assert finished.returncode == 1
    assert finished.stderr.startswith("dualvla: No Prefect server answers at http://127.0.0.1:9/api")


def put_dataset(folder: Path, uri: str, endpoint: str, episodes: int) -> None:
    """A dataset of so many episodes in a bucket."""
    local = write_v2(folder / f"{episodes} episodes", [Demo(seed=seed, length=12) for seed in range(episodes)])
    bucket = open_store(uri, endpoint)
    for path in sorted(path for path in local.rglob("*") if path.is_file()):
        bucket.put_file(path.relative_to(local).as_posix(), path)


def test_a_bucket_is_watched_its_new_episodes_are_curated_and_enough_of_them_start_a_training(
    deployed: tuple[CommandLine, Callable[..., Any]],
    s3_service: S3Service,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command, ask = deployed
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    uri, endpoint = f"s3://{s3_service.make_bucket()}/lab/growing", s3_service.endpoint_url
    run = RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"), s3_endpoint=endpoint)
    config = PipelineConfig(name="growing")
    trainings = len([run for run in flow_runs(ask, "train") if run["auto_scheduled"] is False])

    def decoded() -> int:
        """How many segments are committed, after a look and an arrival that begins a training at three new episodes."""
        assert [watch(uri, run) for _ in range(3)] == [False, True, False]  # told once two looks agree, and only once
        arrivals(uri, config, 3, "train/minimal", run)
        return len(list(open_artifacts(run).manifests("decode_episodes")))

    with temporary_settings({PREFECT_API_URL: command.environment["PREFECT_API_URL"]}):
        put_dataset(tmp_path, uri, endpoint, 2)
        assert decoded() == 1
        assert len([run for run in flow_runs(ask, "train") if run["auto_scheduled"] is False]) == trainings
        put_dataset(tmp_path, uri, endpoint, 3)
        assert decoded() == 2
    segments = open_artifacts(run).manifests("decode_episodes")
    assert sorted(manifest.summary["episodes"] for manifest in segments) == [1, 2]
    begun = [run for run in flow_runs(ask, "train") if run["auto_scheduled"] is False]
    assert len(begun) == trainings + 1
    assert begun[0]["parameters"]["config"]["dataset"]["path"] == uri
