from __future__ import annotations

import json
from pathlib import Path

import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.report.statistics import read_statistics


def test_one_row_per_signal_and_dimension(tmp_path: Path) -> None:
    values = {name: [number, None] for number, name in enumerate(("mean", "std", "min", "max", "q01", "q99"))}
    statistics = {"arm": {"action": {**values, "mask": [True, False]}, "num_transitions": 7, "num_trajectories": 1}}
    (tmp_path / "statistics.json").write_text(json.dumps(statistics))
    first, second = read_statistics(tmp_path)
    assert (first.embodiment, first.feature, first.dimension, first.normalised) == ("arm", "action", 0, True)
    assert (first.mean, first.std, first.minimum, first.maximum, first.q01, first.q99) == (0, 1, 2, 3, 4, 5)
    assert (second.dimension, second.mean, second.normalised) == (1, None, False)


def test_missing_and_foreign_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="missing"):
        read_statistics(tmp_path)
    (tmp_path / "statistics.json").write_text('{"arm": {"action": {"mean": [1]}}}')
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_statistics(tmp_path)
    (tmp_path / "statistics.json").write_text("{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_statistics(tmp_path)
