"""Environments for programs whose requirements do not go together with this project's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TORCH = "torch==2.13.0"
INDEX = "https://download.pytorch.org/whl/cpu"


def python_with(folder: Path, packages: Sequence[str], alone: Sequence[str] = ()) -> Path:
    """The interpreter of an environment in ``folder``, which is made once.

    It holds the CPU build of torch, ``packages``, and ``alone`` without the versions these ask for.
    """
    python, complete = folder / "bin" / "python", folder / "complete"
    if not complete.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [python, "-m", "pip", "install", "-q"]
        index = os.environ.get("TORCH_INDEX", INDEX)
        subprocess.run([*pip, "--no-deps", "--retries", "0", "--index-url", index, f"{TORCH}+cpu"], check=True)
        subprocess.run([*pip, TORCH, *packages], check=True)
        if alone:
            subprocess.run([*pip, "--no-deps", *alone], check=True)
        complete.touch()
    return python


def program(name: str) -> Path:
    """A program of this folder."""
    return Path(__file__).with_name(name)


def told_by(python: Path, name: str, *arguments: object) -> str:
    """The last line a program of this folder prints, run on one thread; it is shown why it failed, if it did."""
    command = [python, program(name), *map(str, arguments)]
    found = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if found.returncode:
        raise SystemExit(f"{name} does not run here:\n{found.stderr.strip()}")
    return found.stdout.strip().splitlines()[-1]
