"""A child process that decodes episodes, so that a crashing or hanging decoder costs one episode and no more."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from types import TracebackType
from typing import TypeAlias

import pyarrow as pa

from dualvla_core.errors import EpisodeError

Decode: TypeAlias = Callable[[int, str], pa.RecordBatch]
"""Decodes the episode of an index and a digest; raises `EpisodeError`."""

_START_TIMEOUT_S = 300.0


class DecoderProcess:
    """Runs a `Decode` in a spawned process; use it as a context manager.

    Args:
        factory: makes the `Decode` inside the process; it must be picklable.
        timeout_s: how long one episode may take, seconds.
    """

    def __init__(self, factory: Callable[[], Decode], timeout_s: float) -> None:
        self._factory = factory
        self._timeout_s = timeout_s
        self._running: tuple[SpawnProcess, Connection] | None = None

    def decode(self, index: int, digest: str) -> pa.RecordBatch:
        """The decoded episode. Raises `EpisodeError` when it cannot be decoded; the next one can be all the same."""
        pipe = self._running[1] if self._running else self._start()
        try:
            pipe.send((index, digest))
            if not pipe.poll(self._timeout_s):
                self._stop(grace_s=0)
                raise EpisodeError(f"Decoding took longer than {self._timeout_s:g} s and was stopped.")
            refusal: str | None = pipe.recv()
            if refusal is None:
                return pa.ipc.open_stream(pipe.recv_bytes()).read_next_batch()
        except (EOFError, ConnectionError):
            raise EpisodeError(f"The decoder crashed on this episode ({self._stop()}).") from None
        raise EpisodeError(refusal)

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        pipe, childs_end = context.Pipe()
        process = context.Process(target=_serve, args=(childs_end, self._factory), daemon=True)
        process.start()
        childs_end.close()  # or the end of the process would not end the pipe
        self._running = (process, pipe)
        try:
            ready = pipe.poll(_START_TIMEOUT_S) and pipe.recv()
        except EOFError:
            ready = False
        if not ready:
            raise RuntimeError(f"The decoding process did not start ({self._stop()}).")
        return pipe

    def _stop(self, grace_s: float = 5.0) -> str:
        """End the process if there is one, at the latest after ``grace_s`` seconds, and say how it ended."""
        if self._running is None:
            return "not running"
        process, pipe = self._running
        self._running = None
        pipe.close()
        process.join(grace_s)  # a process that crashed is let finish, so that its own ending is what is reported
        process.kill()
        process.join()
        code = process.exitcode or 0
        return signal.Signals(-code).name if code < 0 else f"exit status {code}"

    def __enter__(self) -> DecoderProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()


def _serve(pipe: Connection, factory: Callable[[], Decode]) -> None:
    """The child: answer each job with a refusal or with None and the episode as an Arrow stream."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this process ends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    decode = factory()
    pipe.send(True)
    while True:
        try:
            index, digest = pipe.recv()
        except EOFError:
            return
        try:
            stream = _as_stream(decode(index, digest))
        except EpisodeError as error:
            pipe.send(str(error))
            continue
        except Exception as error:  # noqa: BLE001 - one odd episode must not stop the others
            pipe.send(f"Decoding failed with {type(error).__name__}: {error}")
            continue
        pipe.send(None)
        pipe.send_bytes(stream)
        del stream  # or it would stay in memory beside the next episode


def _as_stream(batch: pa.RecordBatch) -> pa.Buffer:
    """The episode as an Arrow stream, written into memory of the right size: a growing one would take twice as much."""
    measure = pa.MockOutputStream()
    with pa.ipc.new_stream(measure, batch.schema) as writer:
        writer.write_batch(batch)
    stream = pa.allocate_buffer(measure.size())
    with pa.ipc.new_stream(pa.FixedSizeBufferWriter(stream), batch.schema) as writer:
        writer.write_batch(batch)
    return stream


def _end_with_parent() -> None:
    """A hanging decoder does not outlive a parent that was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
