"""The one piece of code for keys, leases, commits and hits: turns a declaration of work into a Prefect task.

A stage is declared by a function that returns `Work`: what its key is made of, and the body that fills a folder.
"""

from __future__ import annotations

import functools
import importlib
import socket
import time
from asyncio import CancelledError
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture
from prefect.states import Completed
from pydantic import Field

import dualvla_core
from dualvla_core.params import Params, Summary
from dualvla_core.progress import Progress
from infra.artifact_store import ArtifactStore
from infra.lease import POLL_S, held, try_acquire
from infra.manifest import ArtifactRef, Manifest, StageRequest
from infra.object_store import open_store
from infra.run_record import Use, mark_use
from tasks.progress import ProgressListener, listener, publish_summary, run_logger, stage_progress
from tasks.why import explain_miss

T = TypeVar("T")

CACHED = "Cached"
"""The name of the state of a task whose result was committed before."""

LIMITS = {
    "decode": "videos decoded at once",
    "gpu": "trainings and policies in memory at once",
    "judge": "evaluations that ask a judge at once",
}
"""The concurrency limits that stages name, by tag; `dualvla deploy` creates them."""


class RunContext(Params):
    """How and where a run executes; nothing here ever enters a key."""

    store_uri: str = Field(description="Object store of all artifacts.")
    s3_endpoint: str | None = Field(default=None, description="URL of an S3-compatible server; unset for AWS.")
    cache: str = Field(description="Local folder for drafts and copies; may be deleted at any time.")
    force: tuple[str, ...] = Field(default=(), description="Stages to execute although their result is committed.")
    id: str = Field(default="", description="The run that remembers which artifacts it used; empty for none.")
    resumes: str | None = Field(default=None, description="The run that this one continues.")


@functools.cache
def open_artifacts(run: RunContext) -> ArtifactStore:
    """The artifact store of a run."""
    return ArtifactStore(open_store(run.store_uri, run.s3_endpoint), Path(run.cache), run.s3_endpoint, run.id)


@dataclass(frozen=True)
class Job:
    """What a body works with: the folder to fill, who hears of its progress, and whose attempt it is.

    Unfinished work lies in the object store under ``work/<key>/<attempt>/``. Files in the folder ``timings`` are kept
    beside the payload: what is measured of an execution and differs from one to the next.
    """

    store: ArtifactStore
    key: str
    attempt: str
    output: Path
    timings: Path
    progress: Progress


@dataclass(frozen=True)
class Work:
    """A stage's declaration for given arguments: what the key is made of, and the body.

    ``provenance`` is recorded beside the payload and never keyed; ``committed`` is called after a new commit.
    """

    params: Mapping[str, Any]
    body: Callable[[Job], Summary]
    inputs: Mapping[str, ArtifactRef | Sequence[ArtifactRef]] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    committed: Callable[[ArtifactRef], None] | None = None


@dataclass(frozen=True)
class Missing:
    """In a dry run: what a stage would return had it run, with the reason why it has not."""

    stage: str
    reason: str


@dataclass(frozen=True)
class PlanLine:
    """One line of a dry run."""

    stage: str
    label: str
    hit: bool
    reason: str


Output: TypeAlias = "PrefectFuture[ArtifactRef] | ArtifactRef | Missing"
"""What submitting a stage returns: a future in a run; in a dry run the committed artifact, or why there is none."""

dry_run_plan: ContextVar[list[PlanLine] | None] = ContextVar("dry_run_plan", default=None)
"""Where set, stages are looked up and not executed, and each adds its line."""


def collected(outputs: Sequence[Output]) -> tuple[ArtifactRef, ...] | Missing:
    """The results of several submissions, waiting for them; in a dry run the first that is missing."""
    found = [output.result() if isinstance(output, PrefectFuture) else output for output in outputs]
    missing = next((item for item in found if isinstance(item, Missing)), None)
    return missing or tuple(item for item in found if isinstance(item, ArtifactRef))


def call(task: Task[..., T], *args: Any) -> T:
    """Call a Prefect task that is no stage; in a dry run, its plain function."""
    return task.fn(*args) if dry_run_plan.get() is not None else task(*args)


class StageTask:
    """A stage as flows see it: `submit` one piece of work, or look it up in a dry run."""

    def __init__(self, name: str, version: int, declare: Callable[..., Work], limit: str | None) -> None:
        self.name, self.version, self.declare = name, version, declare
        tags = [limit] if limit else []
        self._task = task(name=name, tags=tags, persist_result=False, cache_policy=NO_CACHE)(self._execute)
        self._imported_as = (declare.__module__, declare.__qualname__)
        self.__doc__ = declare.__doc__

    def __reduce__(self) -> tuple[Callable[[str, str], StageTask], tuple[str, str]]:
        """Travel to other processes by name: what a stage closes over stays here."""
        return _import_stage, self._imported_as

    def request(self, work: Work) -> StageRequest:
        """Everything the key of this work is made of."""
        inputs = {role: (refs,) if isinstance(refs, ArtifactRef) else tuple(refs) for role, refs in work.inputs.items()}
        return StageRequest(
            stage=self.name, version=self.version, params=dict(work.params), inputs=inputs, facts=dict(work.facts)
        )

    def submit(self, label: str, run: RunContext, *args: Any) -> Output:
        """Run the stage as a Prefect task named ``<stage> · <label>``; arguments may be outputs of other stages."""
        plan = dry_run_plan.get()
        if plan is not None:
            return self._look_up(plan, label, run, *args)
        named = self._task.with_options(task_run_name=f"{self.name} · {label}")
        hearing = listener.get()
        if hearing is not None:
            hearing.submitted(self.name)
        future = cast("PrefectFuture[ArtifactRef]", named.submit(run, list(args)))
        if hearing is not None:
            future.add_done_callback(functools.partial(_tell_finished, hearing, self.name))
        return future

    def map(self, run: RunContext, *columns: Iterable[Any]) -> list[Output]:
        """Submit a piece of work per row of the columns (the shortest ends it); `itertools.repeat` fills constants."""
        rows = list(zip(*columns, strict=False))
        return [self.submit(f"{number} of {len(rows)}", run, *row) for number, row in enumerate(rows, 1)]

    def _execute(self, run: RunContext, args: list[Any]) -> ArtifactRef | State[ArtifactRef]:
        manifest, hit = commit_once(self, run, self.declare(run, *args))
        if hit:
            return Completed(name=CACHED, message=f"{manifest.ref} was committed before.", data=manifest.ref)
        publish_summary(self.name, str(manifest.ref), manifest.summary)
        return manifest.ref

    def _look_up(self, plan: list[PlanLine], label: str, run: RunContext, *args: Any) -> ArtifactRef | Missing:
        missing = next((arg for arg in args if isinstance(arg, Missing)), None)
        if missing is not None:
            waits = Missing(self.name, f"waits for {missing.stage}")
            plan.append(PlanLine(self.name, label, hit=False, reason=waits.reason))
            return waits
        store = open_artifacts(run)
        request = self.request(self.declare(run, *args))
        manifest = store.find(self.name, request.key)
        if manifest is not None and self.name not in run.force:
            plan.append(PlanLine(self.name, label, hit=True, reason=f"committed as {request.key}"))
            return manifest.ref
        reason = "forced" if manifest is not None else explain_miss(store, request)
        plan.append(PlanLine(self.name, label, hit=False, reason=reason))
        return Missing(self.name, reason)


def stage(name: str, version: int, limit: str | None = None) -> Callable[[Callable[..., Work]], StageTask]:
    """Declare a stage; raise ``version`` whenever the same inputs would give another output.

    ``limit`` is the tag by which Prefect limits how many run at once, over all machines: `LIMITS` names them.
    """

    def wrap(declare: Callable[..., Work]) -> StageTask:
        return StageTask(name, version, declare, limit)

    return wrap


def _import_stage(module: str, name: str) -> StageTask:
    return cast("StageTask", getattr(importlib.import_module(module), name))


def _tell_finished(hearing: ProgressListener, stage_name: str, future: PrefectFuture[ArtifactRef]) -> None:
    """Tell the console, from the process of the flow: the work may have been done in another one."""
    try:
        future.wait()
        completed = future.state.is_completed()
    except (Exception, CancelledError):  # noqa: BLE001 - another piece failed, or Prefect died: the flow tells of it
        return
    if completed:
        hearing.finished(stage_name, future.result().key, future.state.name == CACHED)


def commit_once(stage_task: StageTask, run: RunContext, work: Work) -> tuple[Manifest, bool]:
    """Return the committed artifact and whether it was a hit; execute the body only where nothing is committed.

    While another process works on the same key this one waits, and takes over if the other dies.
    """
    manifest, reason = _committed(stage_task, run, work)
    if run.id:
        use = Use(ref=manifest.ref, executed=reason is not None, reason=reason or "")
        mark_use(open_artifacts(run).objects, run.id, use)
    return manifest, reason is None


def _committed(stage_task: StageTask, run: RunContext, work: Work) -> tuple[Manifest, str | None]:
    """The committed artifact, and why it had to be made; None where it was found."""
    store, request = open_artifacts(run), stage_task.request(work)
    forced = stage_task.name in run.force
    lease = None
    while lease is None:
        manifest = store.find(request.stage, request.key)
        if manifest is not None and not forced:
            return manifest, None
        lease = try_acquire(store.objects, request.key)
        if lease is None:
            run_logger().info("%s is being worked on by another process; waiting.", request.key)
            time.sleep(POLL_S)
    with held(lease):
        manifest = store.find(request.stage, request.key)
        if manifest is not None and not forced:
            return manifest, None
        reason = "forced" if manifest else explain_miss(store, request)
        run_logger().info("%s runs: %s", request.stage, reason)
        with store.draft() as output, store.draft() as timings:
            started, clock = datetime.now(UTC), time.monotonic()
            summary = work.body(
                Job(store, request.key, lease.attempt, output, timings, stage_progress(request.stage, request.key))
            )
            record = {
                "started": started.isoformat(timespec="seconds"),
                "seconds": round(time.monotonic() - clock, 3),
                "host": socket.gethostname(),
                "dualvla": dualvla_core.__version__,
                "provenance": dict(work.provenance),
            }
            manifest = store.commit(request, output, summary, lease, record, timings, replace=forced)
    if work.committed is not None:
        work.committed(manifest.ref)
    return manifest, reason
