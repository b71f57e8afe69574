"""What every test may use."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.seaweedfs"]

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real demonstrations that nobody here wrote; they lie beside the project and are not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the folder ../shared/data with real demonstrations is absent")
    return SHARED_DATA
