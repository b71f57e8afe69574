"""Which interpreter plays a benchmark: the original SimplerEnv needs packages that do not go with ours."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from dualvla_core.errors import DependencyError
from dualvla_core.simulation.scenes import SuiteName
from infra.settings import Settings

APART: frozenset[SuiteName] = frozenset({"simpler_original"})
"""The benchmarks that run in an interpreter of their own."""

_VERSIONS = """
import json, sys
from importlib.metadata import version
import infra.harness.benchmark
print(json.dumps({name: version(name) for name in sys.argv[1:]}))
"""


def interpreter_of(benchmark: SuiteName) -> Path:
    """The interpreter that plays ``benchmark``. Raises `DependencyError` where its own is wanted and none is named."""
    if benchmark not in APART:
        return Path(sys.executable)
    python = Settings().simpler_python
    if python is None or not python.is_file():
        found = "is not set" if python is None else f"names {python}, which is no file"
        raise DependencyError(
            f"{benchmark} is played by an interpreter of its own, and DUALVLA_SIMPLER_PYTHON {found}; set it to the "
            "python that has SimplerEnv, see docs/simulation.md."
        )
    return python


def versions_in(python: Path, packages: Sequence[str]) -> str:
    """The versions of ``packages`` in an interpreter that can play, as protocols name a simulator.

    Raises `DependencyError` with what is missing there.
    """
    found = subprocess.run([str(python), "-c", _VERSIONS, *packages], capture_output=True, text=True, check=False)
    if found.returncode:
        reason = found.stderr.strip().splitlines()[-1:] or ["nothing was said"]
        raise DependencyError(f"{python} cannot play ({reason[0]}); see docs/simulation.md for what it needs.")
    return ", ".join(f"{name} {each}" for name, each in json.loads(found.stdout.splitlines()[-1]).items())
