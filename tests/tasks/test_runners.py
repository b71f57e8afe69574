from __future__ import annotations

import subprocess
import sys

from infra.lease import process_start

PROGRAM = """
import signal, subprocess, sys, time
from concurrent.futures import ThreadPoolExecutor
from prefect.exceptions import TerminationSignal
from infra.prefect import server
from tasks import runners

runners._GRACE_S = 0.2
server._started.append(child := subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]))
print(child.pid, flush=True)
told = signal.SIGTERM if sys.argv[1] == "told" else None
with ThreadPoolExecutor() as pool, runners._ending_when_told():
    pool.submit(time.sleep, 40 if told else 1)
    if told:
        raise TerminationSignal(told)
print("waited")
child.kill()
"""


def ended(how: str) -> tuple[int, int, list[str]]:
    """The exit code, a server that was started, and what was said after that."""
    command = [sys.executable, "-c", PROGRAM, how]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=35)
    server, *said = done.stdout.split()
    return done.returncode, int(server), said


def test_a_process_that_is_told_to_end_does_not_wait_for_what_it_has_begun_and_takes_its_server_along() -> None:
    code, server, said = ended("told")
    assert (code, said) == (143, [])
    assert process_start(server) is None, "it runs no more"
    code, _, said = ended("not told")
    assert (code, said) == (0, ["waited"])
