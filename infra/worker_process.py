"""Runs a function in a process of its own, so that a crash in native code costs a task and not the run."""

from __future__ import annotations

import multiprocessing
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

from dualvla_core.errors import UserError
from dualvla_core.progress import Progress, silent

T = TypeVar("T")


class WorkerCrashedError(UserError):
    """The process died without an answer (a crash in native code, or it was killed)."""


def run_in_process(function: Callable[..., T], *args: Any, progress: Progress = silent) -> T:
    """Call ``function(*args, progress=...)`` in a spawned process and return its result.

    ``function`` and its arguments must be picklable. Its exceptions are raised here; a process that dies raises
    `WorkerCrashedError` with the exit code (negative: the signal).
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, function, args), daemon=False)
    process.start()
    sender.close()
    try:
        while True:
            kind, value = receiver.recv()
            if kind == "progress":
                progress(*value)
            elif kind == "error":
                raise value
            else:
                return cast("T", value)
    except EOFError as error:
        process.join()
        raise WorkerCrashedError(
            f"The process that ran {function.__name__} ended with exit code {process.exitcode} and no answer."
        ) from error
    finally:
        receiver.close()
        if process.is_alive():
            process.join(timeout=5)
        if process.is_alive():
            process.kill()
        process.join()


def _serve(sender: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    def report(done: int, total: int) -> None:
        sender.send(("progress", (done, total)))

    try:
        answer = ("result", function(*args, progress=report))
    except UserError as error:
        answer = ("error", error)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it with its traceback as a note
        error.add_note("In the worker process:\n" + traceback.format_exc())
        answer = ("error", error)
    sender.send(answer)
    sender.close()
