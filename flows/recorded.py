"""Keeps the record of a run: what it was told, that it is alive, how it ended, where its report is."""

from __future__ import annotations

import logging
import socket
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from prefect import tags
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext

from dualvla_core.pipeline_config import PipelineConfig
from infra.artifact_store import ArtifactStore
from infra.garbage import GC_LEASE
from infra.lease import held, is_held, try_acquire
from infra.manifest import Manifest
from infra.run_record import RunRecord, Use, new_run_id, save_run, used_refs, uses, utc_now
from infra.settings import Settings
from tasks.runners import executing_on
from tasks.stage import RunContext, dry_run_plan, open_artifacts

MOST_ATTEMPTS = 5
"""How often a run that crashes is begun again by itself."""

_recording: ContextVar[str] = ContextVar("recording", default="")

log = logging.getLogger(__name__)


class CrashLoopError(RuntimeError):
    """A run that was killed again and again: a person has to look."""


@contextmanager
def recorded(
    flow: str, config: PipelineConfig, run: RunContext | None, arguments: Mapping[str, Any] | None = None
) -> Iterator[RunContext]:
    """Record a run for the duration of a block, which works in the yielded context; does nothing in a dry run.

    Without ``run`` (a deployment's run) the settings of this machine say where things are. ``arguments`` is what the
    flow is given beside the configuration, as JSON.
    """
    run = run or here(Settings())
    if dry_run_plan.get() is not None:
        yield run
        return
    _refuse_crash_loop()
    if run.id and _recording.get() == run.id:  # the command line has begun the record around the flow
        with executing_on(config.execution):
            yield run
        _publish(open_artifacts(run), flow, config.name, run.id)
        return
    record = RunRecord(
        id=run.id or new_run_id(flow, config.name, datetime.now(UTC)),
        flow=flow,
        name=config.name,
        config=config.model_dump(mode="json"),
        arguments=dict(arguments or {}),
        host=socket.gethostname(),
        started=utc_now(),
        resumes=run.resumes,
        flow_run=_flow_run_id(),
    )
    run = run.model_copy(update={"id": record.id})
    store = open_artifacts(run)
    token = _recording.set(record.id)
    try:
        with _announced(store, record), tags("dualvla", f"data:{config.name}"), executing_on(config.execution):
            try:
                yield run
            except BaseException as error:
                _conclude(store, record, "failed", str(error) or type(error).__name__)
                raise
            _publish(store, flow, config.name, record.id)
            _conclude(store, record, "completed", "")
    finally:
        _recording.reset(token)


def here(settings: Settings) -> RunContext:
    """How and where this machine executes."""
    return RunContext(store_uri=settings.store_uri, s3_endpoint=settings.s3_endpoint, cache=str(settings.cache))


def counts(used: list[Use]) -> dict[str, tuple[int, int]]:
    """Artifacts made and found, by stage; an artifact that was made and then found counts as made."""
    made = {use.ref for use in used if use.executed}
    found = {use.ref for use in used} - made
    executed, reused = Counter(ref.stage for ref in made), Counter(ref.stage for ref in found)
    return {stage: (executed[stage], reused[stage]) for stage in sorted(executed | reused)}


@contextmanager
def _announced(store: ArtifactStore, record: RunRecord) -> Iterator[None]:
    """Hold the run's lease, by which others see that it lives; waits for a garbage collection to end first."""
    save_run(store.objects, record)
    lease = try_acquire(store.objects, record.id)
    assert lease is not None, "ids of runs are unique"
    with held(lease):
        while is_held(store.objects, GC_LEASE):
            time.sleep(1.0)
        yield


def _conclude(store: ArtifactStore, record: RunRecord, state: str, message: str) -> None:
    """Write how the run ended; where the store is what failed, the run counts as died."""
    try:
        report = _report_of(store, record.id)
        ended = {"state": state, "message": message, "finished": utc_now(), "report": report and report.ref}
        save_run(store.objects, record.model_copy(update=ended))
    except Exception as error:  # noqa: BLE001 - must not hide why the run ended
        log.warning("How the run %s ended could not be written: %s", record.id, error)


def _report_of(store: ArtifactStore, run_id: str) -> Manifest | None:
    key = next((key for stage, key in used_refs(store.objects, run_id) if stage == "publish_report"), None)
    return store.find("publish_report", key) if key else None


def _publish(store: ArtifactStore, flow: str, name: str, run_id: str) -> None:
    """Show in Prefect what the run came to, with the way to its report."""
    if FlowRunContext.get() is None:
        return
    lines = [f"Run `{run_id}`", "", "| stage | executed | found |", "|---|---|---|"]
    used = counts(list(uses(store.objects, run_id)))
    lines += [f"| {stage} | {executed or ''} | {reused or ''} |" for stage, (executed, reused) in used.items()]
    report = _report_of(store, run_id)
    if report is not None:
        page = f"artifacts/{report.ref}/{report.attempt}/report.html"
        local = store.objects.local_path(page)
        where = local.as_uri() if local else f"{store.objects.uri}/{page}"
        lines += ["", f"Report: [{where}]({where})", "", f"`dualvla runs show {run_id}` copies it to this machine."]
    create_markdown_artifact("\n".join(lines), key="run-summary", description=f"{flow} of {name}")


def _flow_run_id() -> str | None:
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else None


def _refuse_crash_loop() -> None:
    context = FlowRunContext.get()
    if context and context.flow_run and context.flow_run.run_count > MOST_ATTEMPTS:
        raise CrashLoopError(
            f"This run was begun {MOST_ATTEMPTS} times and never ended; look at the worker's log (memory, a crash in "
            "native code), then start it again: what is committed is kept."
        )
