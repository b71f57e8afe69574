from __future__ import annotations

import pytest
from typer.testing import CliRunner

from flows.cli import app

pytest.importorskip("torch")


def test_it_prints_parameters_shapes_and_memory() -> None:
    result = CliRunner().invoke(app, ["estimate", "minimal", "--cameras", "2", "--action", "4"])
    assert result.exit_code == 0, result.output
    for text in ("action head", "trainable", "[B, 2, 3, 32, 32]", "[B, 6, 4]", "64 processes", "Activations"):
        assert text in result.output
