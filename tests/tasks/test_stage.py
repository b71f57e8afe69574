"""The stage mechanism: executed once, hit ever after, looked up in dry runs."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from tasks.stage import Job, Missing, RunContext, Work, commit_once, dry_run_plan, open_artifacts, stage

calls: list[str] = []


@stage("letters", version=1)
def letters(_run: RunContext, text: str) -> Work:
    def body(job: Job) -> Summary:
        calls.append(text)
        (job.output / "letters.txt").write_text("".join(sorted(text)))
        return {"letters": len(text)}

    return Work(params={"text": text}, body=body)


@stage("count", version=1)
def count(_run: RunContext, source: ArtifactRef) -> Work:
    def body(job: Job) -> Summary:
        calls.append("count")
        return {"count": len((job.store.folder(source) / "letters.txt").read_text())}

    return Work(params={}, inputs={"source": source}, body=body)


@stage("broken", version=1)
def broken(_run: RunContext) -> Work:
    def body(job: Job) -> Summary:
        (job.output / "half.txt").write_text("half")
        raise RuntimeError("killed in the middle")

    return Work(params={}, body=body)


@pytest.fixture
def run(tmp_path: Path) -> RunContext:
    calls.clear()
    return RunContext(store_uri=str(tmp_path / "store"), cache=str(tmp_path / "cache"))


def test_second_call_is_a_hit(run: RunContext) -> None:
    first, hit = commit_once(letters, run, letters.declare(run, "ab"))
    assert not hit
    second, hit = commit_once(letters, run, letters.declare(run, "ab"))
    assert hit
    assert second == first
    assert calls == ["ab"]


def test_an_unchanged_payload_stops_the_ripple(run: RunContext) -> None:
    one, _ = commit_once(letters, run, letters.declare(run, "ab"))
    two, _ = commit_once(letters, run, letters.declare(run, "ba"))
    assert (one.key != two.key, one.digest == two.digest) == (True, True)
    commit_once(count, run, count.declare(run, one.ref))
    _, hit = commit_once(count, run, count.declare(run, two.ref))
    assert hit


def test_force_executes_again_and_replaces(run: RunContext) -> None:
    commit_once(letters, run, letters.declare(run, "ab"))
    forced = run.model_copy(update={"force": ("letters",)})
    manifest, hit = commit_once(letters, forced, letters.declare(run, "ab"))
    assert not hit
    assert manifest.attempt == "attempt-0002"
    assert calls == ["ab", "ab"]


def test_a_failed_body_commits_nothing_and_can_run_again(run: RunContext) -> None:
    work = broken.declare(run)
    with pytest.raises(RuntimeError):
        commit_once(broken, run, work)
    assert open_artifacts(run).find("broken", broken.request(work).key) is None
    assert list(Path(run.cache, "drafts").iterdir()) == []
    with pytest.raises(RuntimeError):  # the lease is free again: no waiting for a time-out
        commit_once(broken, run, work)


def test_of_two_at_once_one_executes_and_the_other_waits(run: RunContext) -> None:
    started = threading.Event()

    def slow(job: Job) -> Summary:
        calls.append("slow")
        started.set()
        time.sleep(0.3)
        return {}

    work = Work(params={"slow": True}, body=slow)
    results: list[bool] = []
    first = threading.Thread(target=lambda: results.append(commit_once(letters, run, work)[1]))
    first.start()
    started.wait(5)
    results.append(commit_once(letters, run, work)[1])
    first.join()
    assert calls == ["slow"]
    assert sorted(results) == [False, True]


def test_dry_run_says_hit_miss_and_why_and_executes_nothing(run: RunContext) -> None:
    known, _ = commit_once(letters, run, letters.declare(run, "ab"))
    plan: list = []
    token = dry_run_plan.set(plan)
    try:
        assert letters.submit("one", run, "ab") == known.ref
        missing = letters.submit("two", run, "abc")
        assert isinstance(missing, Missing)
        assert isinstance(count.submit("three", run, missing), Missing)
        forced = run.model_copy(update={"force": ("letters",)})
        letters.submit("four", forced, "ab")
    finally:
        dry_run_plan.reset(token)
    assert calls == ["ab"]
    assert [line.hit for line in plan] == [True, False, False, False]
    assert plan[1].reason == "parameter text 'ab' -> 'abc'"
    assert plan[2].reason == "waits for letters"
    assert plan[3].reason == "forced"
