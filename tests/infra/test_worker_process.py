"""Work in a process of its own: results, progress, errors and crashes come back."""

from __future__ import annotations

import os
import signal

import pytest

from dualvla_core.errors import EpisodeError
from dualvla_core.progress import Progress
from infra.worker_process import WorkerCrashedError, run_in_process


def double(value: int, progress: Progress) -> int:
    progress(1, 2)
    progress(2, 2)
    return 2 * value


def refuse(progress: Progress) -> None:
    raise EpisodeError("Episode 3 holds no frames.")


def fail(progress: Progress) -> None:
    raise ZeroDivisionError("by zero")


def crash(progress: Progress) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def test_result_and_progress() -> None:
    heard: list[tuple[int, int]] = []
    assert run_in_process(double, 21, progress=lambda done, total: heard.append((done, total))) == 42
    assert heard == [(1, 2), (2, 2)]


def test_a_users_error_keeps_its_type_and_sentence() -> None:
    with pytest.raises(EpisodeError, match="holds no frames"):
        run_in_process(refuse)


def test_a_bug_brings_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        run_in_process(fail)
    assert any("in fail" in note for note in caught.value.__notes__)


def test_a_crash_is_told_with_its_signal() -> None:
    with pytest.raises(WorkerCrashedError, match="crash ended with exit code -11"):
        run_in_process(crash)
