"""Small benchmarks in VLMEvalKit's layout, written by hand."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dualvla_core.evaluation.benchmarks.tables import PREDICTIONS, PREDICTIONS_FILE, write_table
from dualvla_core.evaluation.benchmarks.tsv import read_benchmark

Rows = Sequence[Mapping[str, Any]]
Benchmark = Callable[..., Path]

SHARED = Path(__file__).resolve().parents[4].parent / "shared" / "data"


def picture(level: int, kind: str = ".png") -> str:
    """A grey image as the base64 text of its file."""
    pixels = np.full((24, 24, 3), level, np.uint8)
    pixels[::2, ::3] = 255 - level
    return base64.b64encode(cv2.imencode(kind, pixels)[1].tobytes()).decode()


def write_tsv(path: Path, rows: Rows) -> Path:
    """Rows as a TSV file; None is an empty cell."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Read rows, as a TSV file, into a folder of questions; every row gets an image unless it has one."""

    def make(rows: Rows, name: str = "Mine") -> Path:
        path = write_tsv(tmp_path / f"{name}.tsv", [{"image": picture(40), **row} for row in rows])
        folder = tmp_path / f"{name}-questions"
        folder.mkdir()
        read_benchmark(path, name, folder)
        return folder

    return make


@pytest.fixture
def predicted(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Write answers by index into a folder of predictions."""

    def make(answers: Mapping[str, str]) -> Path:
        folder = tmp_path / f"predictions-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        rows = [{"index": index, "prediction": answer} for index, answer in answers.items()]
        write_table(rows, PREDICTIONS, folder / PREDICTIONS_FILE)
        return folder

    return make


def public(name: str) -> dict[str, Any]:
    """Inputs with what the public scorers make of them; the test is skipped where the shared data is absent."""
    path = SHARED / "scorer_parity" / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    found: dict[str, Any] = json.loads(path.read_text())
    return found
