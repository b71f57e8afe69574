"""The whole curation DAG on the smallest configuration, as a user runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.artifact_store import ArtifactStore
from infra.object_store import open_store
from tasks.stage import LIMITS
from tests.e2e.conftest import CommandLine, Finished

pytestmark = pytest.mark.skipif(find_spec("metaworld") is None, reason="the extra `simulation` is not installed")
ALL_STAGES = {
    "record_demonstrations",
    "assemble_demonstrations",
    "scan_demonstrations",
    "decode_episodes",
    "collect_episodes",
    "detect_event_boundaries",
    "compute_kinematics",
    "prune_reasoning",
    "build_shards",
    "build_multimodal_shard",
    "compute_statistics",
    "publish_report",
}


def payloads(home: Path) -> dict[str, str]:
    """Payload digest of every committed artifact, by stage and key."""
    store = ArtifactStore(open_store(str(home / "store")), home / "cache")
    return {str(manifest.ref): manifest.digest for manifest in store.manifests()}


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, command_line: Callable[..., CommandLine]
) -> tuple[CommandLine, Finished]:
    command = command_line(tmp_path_factory.mktemp("home with a space"))
    finished = command("curate", "--preset", "minimal")
    assert finished.returncode == 0, finished.stderr
    return command, finished


def test_from_nothing_to_a_report(undisturbed: tuple[CommandLine, Finished]) -> None:
    command, finished = undisturbed
    assert set(finished.executed) == ALL_STAGES
    page = Path(finished.last_line)
    assert page.read_text().startswith("<!doctype html>")
    report = json.loads(page.with_suffix(".json").read_text())
    assert report["totals"]["episodes"] == 3
    assert 0 < report["totals"]["kept"] < report["totals"]["frames"]
    store = ArtifactStore(open_store(str(command.home / "store")), command.home / "cache")
    frames = kept = 0
    for manifest in store.manifests("prune_reasoning"):
        decisions = pq.read_table(store.folder(manifest.ref) / "decisions.parquet")
        frames += decisions.num_rows
        kept += sum(decisions.column("keep").to_pylist())
    assert (frames, kept) == (report["totals"]["frames"], report["totals"]["kept"])


def test_a_run_is_found_by_its_tags_and_its_tasks_ask_for_slots_of_limits_alone(
    undisturbed: tuple[CommandLine, Finished], prefect_environment: dict[str, str]
) -> None:
    with (
        temporary_settings({PREFECT_API_URL: prefect_environment["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        tagged = FlowRunFilter(tags=FlowRunFilterTags(all_=["dualvla", "data:minimal"]))
        tasks = client.read_task_runs(flow_run_filter=tagged)
    assert tasks
    assert {tag for task in tasks for tag in task.tags} <= set(LIMITS)


def test_a_second_run_executes_nothing(undisturbed: tuple[CommandLine, Finished]) -> None:
    command, first = undisturbed
    before = payloads(command.home)
    again = command("curate", "--preset", "minimal")
    assert again.executed == {}
    assert "Nothing was executed" in again.stdout
    assert again.last_line == first.last_line
    assert payloads(command.home) == before


def test_a_changed_parameter_reruns_what_depends_on_it(undisturbed: tuple[CommandLine, Finished]) -> None:
    command, _ = undisturbed
    change = ("--set", "pruning.keep_first_frame=true")
    plan = command("curate", "--preset", "minimal", *change, "--dry-run")
    assert "parameter keep_first_frame False -> True" in " ".join(plan.stdout.replace("│", " ").split())
    assert plan.executed == {}
    changed = command("curate", "--preset", "minimal", *change)
    assert set(changed.executed) == {"prune_reasoning", "build_shards", "publish_report"}  # statistics are of actions


def test_more_demonstrations_decode_only_themselves(undisturbed: tuple[CommandLine, Finished]) -> None:
    command, _ = undisturbed
    old = {ref for ref in payloads(command.home) if ref.startswith("decode_episodes")}
    grown = command("curate", "--preset", "minimal", "--set", "record.episodes_per_task=5")
    assert grown.returncode == 0, grown.stderr
    assert "2 of 5 episodes are to be decoded" in grown.stdout
    assert grown.executed["decode_episodes"] == 1
    assert old < {ref for ref in payloads(command.home) if ref.startswith("decode_episodes")}


def test_a_killed_run_resumes_without_repeating_a_committed_stage(
    undisturbed: tuple[CommandLine, Finished], tmp_path: Path, command_line: Callable[..., CommandLine]
) -> None:
    command = command_line(tmp_path / "home")
    victim = command.start("curate", "--preset", "minimal")
    artifacts = tmp_path / "home" / "store" / "artifacts"
    deadline = time.monotonic() + 120
    while not list(artifacts.glob("decode_episodes/*/manifest.json")):
        assert time.monotonic() < deadline
        assert victim.poll() is None, victim.communicate()[1]
        time.sleep(0.02)
    victim.kill()
    victim.communicate()
    committed = payloads(command.home)
    resumed = command("curate", "--preset", "minimal")
    assert resumed.returncode == 0, resumed.stderr
    assert "record_demonstrations" not in resumed.executed
    store = ArtifactStore(open_store(str(command.home / "store")), command.home / "cache")
    assert all(store.find(*ref.split("/")).attempt == "attempt-0001" for ref in committed)
    minimal = payloads(undisturbed[0].home)
    assert all(minimal[ref] == digest for ref, digest in payloads(command.home).items())


def test_a_mistake_is_one_sentence(command_line: Callable[..., CommandLine], tmp_path: Path) -> None:
    finished = command_line(tmp_path)("curate", "--dataset", str(tmp_path / "nowhere"))
    assert finished.returncode == 1
    assert finished.stderr.startswith("dualvla: There is no folder")
    assert finished.stderr.count("\n") == 1
