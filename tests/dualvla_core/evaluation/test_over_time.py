"""Shares of solved episodes at each moment, against counts by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import SuccessMode
from dualvla_core.evaluation.over_time import solved_over_time
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.tables import ROLLOUTS, SOLVED

EPISODES = {  # by task, whether an episode of three steps is solved at its four moments
    "reach": ["0011", "0100"],
    "door-open": ["0000", "0111"],
}


def write(folder: Path, mode: SuccessMode, episodes: dict[str, list[str]] = EPISODES, *, noted: bool = True) -> Path:
    folder.mkdir()
    trials = {"tasks": tuple(episodes), "episodes_per_task": 2, "max_steps": 3, "success_mode": mode}
    EvaluationProtocol(**trials, simulator="s 1", harness="h 1").write(folder)
    rows, solved = [], []
    for number, (task, moments) in enumerate((task, each) for task, several in episodes.items() for each in several):
        ever, last = "1" in moments, moments[-1] == "1"
        steps = moments.index("1") if ever and mode == "early_stop" else 3
        facts = {"task": task, "seed": 50000 + number % 2, "instruction": "", "policy_type": "specialist"}
        success = last if mode == "final" else ever
        rows.append({"rollout": number, **facts, "success": success, "steps": steps, "final_state": [0.0]})
        solved += [{"rollout": number, "step": step, "solved": now == "1"} for step, now in enumerate(moments)]
    pq.write_table(pa.Table.from_pylist(rows, ROLLOUTS), folder / "rollouts.parquet")
    if noted and mode != "early_stop":
        pq.write_table(pa.Table.from_pylist(solved, SOLVED), folder / "solved.parquet")
    return folder


@pytest.mark.parametrize(
    ("mode", "reach", "door"),
    [
        ("final", [0, 0.5, 0.5, 0.5], [0, 0.5, 0.5, 0.5]),
        ("latched", [0, 0.5, 1, 1], [0, 0.5, 0.5, 0.5]),
        ("early_stop", [0, 0.5, 1, 1], [0, 0.5, 0.5, 0.5]),
    ],
)
def test_the_share_at_each_moment(
    tmp_path: Path, mode: SuccessMode, reach: Sequence[float], door: Sequence[float]
) -> None:
    found = solved_over_time(write(tmp_path / mode, mode))
    assert found is not None
    assert {task: shares.tolist() for task, shares in found.items()} == {"reach": reach, "door-open": door}


def test_rollouts_that_did_not_note_when(tmp_path: Path) -> None:
    assert solved_over_time(write(tmp_path / "old", "final", noted=False)) is None


def test_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "torn", "final")
    (folder / "solved.parquet").write_bytes(b"torn")
    with pytest.raises(ArtifactError, match=r"solved\.parquet of 'torn' cannot be read"):
        solved_over_time(folder)
