"""What every test may use."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from dualvla_core.errors import DependencyError
from dualvla_core.simulation.simpler_assets import has_stand_ins

pytest_plugins = ["tests.seaweedfs"]

SHARED_ASSETS = Path(__file__).parent.parent.parent / "shared" / "assets"
SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real demonstrations that nobody here wrote; they lie beside the project and are not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real demonstrations is absent")
    return SHARED_DATA


@pytest.fixture(scope="session")
def simpler_env() -> None:
    """SimplerEnv with its assets: where these lie beside the project it has to run, elsewhere it may be missing."""
    missing = None if find_spec("mani_skill") else "mani-skill is not installed"
    try:
        has_stand_ins(["widowx_stack_cube"])
    except DependencyError as error:
        missing = str(error)
    if missing and os.environ.get("CI") and SHARED_ASSETS.is_dir():
        pytest.fail(f"{missing}; CI installs SimplerEnv before the tests.")
    if missing:
        pytest.skip(missing)
