"""Where the pieces of a run are executed: threads of this process, processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from prefect.context import FlowRunContext, TagsContext
from prefect.exceptions import TerminationSignal
from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner

from dualvla_core.errors import DependencyError
from dualvla_core.pipeline_config import ExecutionConfig
from infra.prefect.server import stop_servers

AnyRunner = TaskRunner[Any]

_GRACE_S = 10.0


@contextmanager
def executing_on(execution: ExecutionConfig) -> Iterator[None]:
    """Give the tasks of the running flow to the configured runner until the block ends.

    The configuration is known only once the flow runs, in a deployment too; so its runner is replaced here and not
    where the flow is declared. Tasks do not inherit the tags of their run: Prefect asks the server for a slot of every
    tag, which only the limits of stages need. Raises `DependencyError` where the runner's package is not installed.
    """
    context = FlowRunContext.get()
    if context is None:
        yield
        return
    with (
        _RUNNERS[execution.runner](execution) as runner,
        context.model_copy(update={"task_runner": runner}),
        TagsContext(current_tags=set()),
        _ending_when_told(),
    ):
        yield


@contextmanager
def _ending_when_told() -> Iterator[None]:
    """Let a process that gets SIGTERM end within seconds.

    Runners wait for pieces that have begun, a training for hours. The processes that work for a piece end with this
    one, and what it leaves behind is what a killed run leaves: the next one goes on from there.
    """
    try:
        yield
    except TerminationSignal as told:
        end = threading.Timer(_GRACE_S, _end, [128 + told.signal])
        end.daemon = True
        end.start()
        raise


def _end(code: int) -> None:
    stop_servers()
    os._exit(code)


def _threads(execution: ExecutionConfig) -> AnyRunner:
    return ThreadPoolTaskRunner(max_workers=execution.workers)


def _processes(execution: ExecutionConfig) -> AnyRunner:
    return ProcessPoolTaskRunner(max_workers=execution.workers)


def _dask(execution: ExecutionConfig) -> AnyRunner:
    if find_spec("prefect_dask") is None:
        raise DependencyError("execution.runner=dask needs prefect-dask, which is not installed; add the extra `dask`.")
    import dask  # noqa: PLC0415 - an extra
    from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415

    if execution.dask_scheduler:
        return DaskTaskRunner(address=execution.dask_scheduler)
    dask.config.set({"distributed.worker.daemon": False})  # stages start processes of their own
    workers = {"n_workers": execution.workers, "threads_per_worker": 1, "dashboard_address": None}
    return DaskTaskRunner(cluster_kwargs=workers)


_RUNNERS: dict[str, Callable[[ExecutionConfig], AnyRunner]] = {
    "thread": _threads,
    "process": _processes,
    "dask": _dask,
}
