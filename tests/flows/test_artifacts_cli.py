"""`dualvla artifacts` and `runs` on a small store, through the door a user takes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Summary
from flows.cli import app
from flows.cli.store import settled_store
from flows.cli.tables import summary_line
from infra.manifest import ArtifactRef
from infra.run_record import RunRecord, save_run
from infra.settings import Settings
from tasks.stage import Job, RunContext, Work, commit_once, stage

EPISODE = "e" * 64


@stage("decode_episodes", version=1)
def decode(_run: RunContext, quality: int) -> Work:
    def body(job: Job) -> Summary:
        table = pa.table({"episode": [EPISODE], "quality": [quality]})
        pq.write_table(table, job.output / "episodes.parquet")
        return {"frames": 40}

    return Work(params={"decode": {"quality": quality}}, body=body, provenance={"dataset": {"path": "/data/drawer"}})


@stage("prune_reasoning", version=1)
def prune(_run: RunContext, segment: ArtifactRef, rule: str) -> Work:
    def body(job: Job) -> Summary:
        (job.output / "decisions").write_text(rule + str(job.store.folder(segment).name) + segment.digest)
        return {"kept": 7 if rule == "dual" else 40}

    return Work(params={"rule": rule}, inputs={"segment": segment}, body=body)


@stage("publish_report", version=1)
def report(_run: RunContext, decisions: ArtifactRef) -> Work:
    def body(job: Job) -> Summary:
        (job.output / "report.html").write_text(decisions.digest)
        return {"kept": 7}

    return Work(params={}, inputs={"decisions": decisions}, body=body)


def run_once(settings: Settings, number: int, quality: int = 90, rule: str = "dual") -> RunRecord:
    run = RunContext(
        store_uri=settings.store_uri, cache=str(settings.cache), id=f"2026010{number}-000000-curate-x-000{number}"
    )
    segment, _ = commit_once(decode, run, decode.declare(run, quality))
    decisions, _ = commit_once(prune, run, prune.declare(run, segment.ref, rule))
    page, _ = commit_once(report, run, report.declare(run, decisions.ref))
    record = RunRecord(
        id=run.id, flow="curate", name="x", config={}, host="h", started="2026-01-01T00:00:00+00:00", state="completed",
        report=page.ref,
    )  # fmt: skip
    save_run(settled_store(settings).objects, record)
    return record


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DUALVLA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "prefect"))
    monkeypatch.delenv("DUALVLA_STORE", raising=False)
    return Settings()


def invoke(*arguments: str) -> str:
    result: Result = CliRunner().invoke(app, list(arguments))
    if result.exception is not None:
        raise result.exception
    return " ".join(result.output.replace("│", " ").replace("┃", " ").split())


def test_why_names_the_parameter_that_changed_however_far_up(settings: Settings) -> None:
    run_once(settings, 1)
    run_once(settings, 2, quality=80)
    told = invoke("artifacts", "why", "last")
    assert "miss parameter decode.quality 90 -> 80" in told
    assert "input segment changed (decode_episodes: parameter decode.quality 90 -> 80)" in told
    assert "input decisions changed (prune_reasoning: input segment changed" in told
    run_once(settings, 3)
    told = invoke("artifacts", "why", "last", "--stage", "prune_reasoning")
    assert "hit same version, parameters and inputs were committed before" in told
    assert "decode_episodes" not in told


def test_lineage_walks_from_a_report_to_the_episodes_and_back(settings: Settings) -> None:
    record = run_once(settings, 1)
    back = invoke("artifacts", "lineage", record.id)
    assert f"publish_report/{record.report.key} kept=7" in back
    assert "frames=40" in back
    assert f"episode {EPISODE[:12]} of /data/drawer" in back
    forward = invoke("artifacts", "lineage", EPISODE[:16])
    assert forward.startswith(f"episode {EPISODE}")
    assert forward.endswith(f"run {record.id}")
    assert invoke("artifacts", "lineage", "decode_episodes/", "--forward").count("publish_report") == 1


def test_ls_show_and_diff(settings: Settings) -> None:
    run_once(settings, 1)
    run_once(settings, 2, rule="none")
    listed = invoke("artifacts", "ls", "--stage", "prune_reasoning")
    assert "2 artifacts" in listed
    assert "kept=40" in listed
    shown = invoke("artifacts", "show", "decode_episodes")
    assert "parameter decode.quality 90" in shown
    assert "provenance dataset.path /data/drawer" in shown
    keys = [info.key.split("/")[2] for info in settled_store(settings).objects.list("artifacts/prune_reasoning/")]
    one, other = dict.fromkeys(keys)
    told = invoke("artifacts", "diff", one, other)
    assert "parameter rule" in told
    assert "kept" in told
    with pytest.raises(ArtifactError, match="of different stages"):
        invoke("artifacts", "diff", one, "decode_episodes")
    with pytest.raises(ArtifactError, match="fits 2 artifacts"):
        invoke("artifacts", "show", "prune_reasoning")
    with pytest.raises(ArtifactError, match="There is no artifact 'nothing'"):
        invoke("artifacts", "show", "nothing")


def test_gc_names_and_deletes_what_the_last_run_does_not_reach_and_pins_keep(settings: Settings) -> None:
    first = run_once(settings, 1)
    run_once(settings, 2, quality=80)
    invoke("artifacts", "pin", first.id)
    assert "0 objects" in invoke("artifacts", "gc", "--keep-last", "1", "--dry-run")
    invoke("artifacts", "pin", first.id, "--remove")
    planned = invoke("artifacts", "gc", "--keep-last", "1", "--dry-run")
    assert planned.count("no pinned or recent run reaches it") == 3
    assert "6 artifacts" in invoke("artifacts", "ls")
    invoke("artifacts", "gc", "--keep-last", "1")
    assert "3 artifacts" in invoke("artifacts", "ls")
    assert first.id not in invoke("runs", "ls")


def test_gc_without_any_recorded_run_is_refused(settings: Settings) -> None:
    with pytest.raises(ArtifactError, match="nothing says what is needed"):
        invoke("artifacts", "gc", "--keep-last", "1")


def test_verify_names_the_damaged_object_and_its_artifact_is_made_again(settings: Settings) -> None:
    record = run_once(settings, 1)
    assert "every byte is as it was committed" in invoke("artifacts", "verify")
    page = next(settings.root.glob("store/artifacts/publish_report/*/attempt-0001/report.html"))
    page.write_text("rotten")
    with pytest.raises(ArtifactError, match="1 objects"):
        invoke("artifacts", "verify")
    again = run_once(settings, 2)
    assert again.report == record.report
    assert "every byte" in invoke("artifacts", "verify")


def test_runs_are_listed_and_shown(settings: Settings) -> None:
    record = run_once(settings, 1)
    assert "completed" in invoke("runs", "ls")
    shown = invoke("runs", "show", "last")
    assert shown.startswith(f"{record.id}: completed")
    assert "nothing of this stage is committed yet" in shown
    assert shown.endswith("report.html")
    died = record.model_copy(update={"id": "20260102-000000-curate-x-0002", "state": "running", "report": None})
    save_run(settled_store(settings).objects, died)
    assert "died" in invoke("runs", "ls")
    assert f"Go on with: dualvla resume {died.id}" in invoke("runs", "show")
    assert json.loads(settled_store(settings).objects.get(f"runs/{died.id}/run.json"))["state"] == "running"


def test_a_summary_is_a_line_of_four_digits() -> None:
    assert summary_line({"frames": 12624, "retention": 0.20215462610899873, "basis": "all"}) == (
        "frames=12624, retention=0.2022, basis=all"
    )
