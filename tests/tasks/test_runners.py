from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import signal, sys, time
from concurrent.futures import ThreadPoolExecutor
from prefect.exceptions import TerminationSignal
from tasks import runners

runners._GRACE_S = 0.2
told = signal.SIGTERM if sys.argv[1] == "told" else None
with ThreadPoolExecutor() as pool, runners._ending_when_told():
    pool.submit(time.sleep, 40 if told else 1)
    if told:
        raise TerminationSignal(told)
print("waited")
"""


def ended(how: str) -> tuple[int, str]:
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=35)
    return done.returncode, done.stdout.strip()


def test_a_process_that_is_told_to_end_does_not_wait_for_what_it_has_begun() -> None:
    assert ended("told") == (143, "")
    assert ended("not told") == (0, "waited")
