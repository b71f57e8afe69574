"""Processes of a rollout job that must not outlive the supervisor."""

from __future__ import annotations

import os
import sys
import threading


def end_with_parent() -> None:
    """End this process, whatever it is doing, once its standard input does: a killed parent closes it, too."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    while os.read(sys.stdin.fileno(), 4096):  # not through sys.stdin, whose lock a process that ends would wait for
        pass
    os._exit(0)
