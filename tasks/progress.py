"""Where the progress of a stage goes: to Prefect as an artifact, and to whoever listens in this process."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Protocol, cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, create_table_artifact, update_progress_artifact
from prefect.context import TaskRunContext

from dualvla_core.params import Summary
from dualvla_core.progress import Progress

PUBLISH_EVERY_S = 2.0


class ProgressListener(Protocol):
    """A console that shows a run; pieces of work are numbered by the stage that submits them."""

    def submitted(self, stage: str) -> None:
        """A stage was given a piece of work."""

    def advanced(self, stage: str, piece: str, done: int, total: int) -> None:
        """A piece of work of a stage has done ``done`` of ``total``."""

    def finished(self, stage: str, piece: str, hit: bool) -> None:
        """A piece of work is committed: executed now, or (``hit``) before."""

    def told(self, sentence: str) -> None:
        """A sentence for the person who waits."""


listener: ContextVar[ProgressListener | None] = ContextVar("listener", default=None)
"""Who hears of progress in this process; tasks in threads inherit it from the flow."""


def stage_progress(stage: str, piece: str) -> Progress:
    """A `Progress` for one piece of work: told to the listener at once, to Prefect every two seconds."""
    hearing, artifact = listener.get(), _ProgressArtifact(stage)

    def report(done: int, total: int) -> None:
        if hearing is not None:
            hearing.advanced(stage, piece, done, total)
        artifact.report(done, total)

    return report


class _ProgressArtifact:
    """A Prefect progress artifact, made once a piece of work has lasted long enough to be watched."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._next = time.monotonic() + PUBLISH_EVERY_S
        self._artifact: UUID | None = None

    def report(self, done: int, total: int) -> None:
        if time.monotonic() < self._next or TaskRunContext.get() is None:
            return
        percent = 100.0 * done / max(total, 1)
        if self._artifact is None:
            description = f"{self._stage}: share of its work done"
            self._artifact = cast("UUID", create_progress_artifact(progress=percent, description=description))
        else:
            update_progress_artifact(self._artifact, progress=percent)
        self._next = time.monotonic() + PUBLISH_EVERY_S


def publish_summary(stage: str, artifact: str, summary: Summary) -> None:
    """Show a stage's summary as a table in the Prefect UI, under a stable key."""
    rows = [{"quantity": name.replace("_", " "), "value": value} for name, value in summary.items()]
    publish_table(stage.replace("_", "-"), rows, f"`{artifact}`")


def publish_table(key: str, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Show a table in the Prefect UI, under a stable key; outside a task nobody looks."""
    if TaskRunContext.get() is not None:
        create_table_artifact(table=[dict(row) for row in rows], key=key, description=description)


def tell(sentence: str) -> None:
    """Say something a person waiting for the run wants to know: in the task's log, and to the listener."""
    run_logger().info(sentence)
    hearing = listener.get()
    if hearing is not None:
        hearing.told(sentence)


def run_logger() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """The Prefect logger of the running task, or a plain one outside of runs."""
    if TaskRunContext.get() is None:
        return logging.getLogger(__name__)
    return get_run_logger()
