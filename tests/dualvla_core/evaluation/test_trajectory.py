from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.trajectory import Frame, Utterance, read_trajectories


def test_trajectories_hold_what_was_recorded(rollouts: Path) -> None:
    first, second = read_trajectories(rollouts)
    assert first.states.round(3).tolist() == [[0, 0], [pytest.approx(0.1), 0], [pytest.approx(0.2), 0]]
    assert first.actions.tolist() == [[0], [1]]
    assert first.reasoning == (Utterance(0, "Move up."),)
    assert first.frames == (Frame(0, b"\x00"), Frame(2, b"\x02"))
    assert (first.task, first.seed, first.success, first.steps, first.max_steps) == ("reach", 5, True, 2, 9)
    assert (first.instruction, first.policy_type) == ("Reach the red ball.", "generalist")
    assert second.states[:, 0].tolist() == pytest.approx([1, 1.1])
    assert (second.rollout, second.seed, second.success, second.steps) == (1, 6, False, 1)


@pytest.mark.parametrize("name", ["rollouts.parquet", "steps.parquet", "frames.arrow"])
def test_a_missing_or_broken_table_is_named(rollouts: Path, name: str) -> None:
    (rollouts / name).write_bytes(b"torn")
    with pytest.raises(ArtifactError, match=f"{name} of 'rollouts' cannot be read"):
        list(read_trajectories(rollouts))
    (rollouts / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} of 'rollouts' cannot be read"):
        list(read_trajectories(rollouts))


def test_tables_of_other_columns_are_refused(rollouts: Path) -> None:
    path = rollouts / "steps.parquet"
    pq.write_table(pq.read_table(path).drop_columns("action"), path)
    with pytest.raises(ArtifactError, match="lacks the column 'action'"):
        list(read_trajectories(rollouts))


def test_tables_of_other_episodes_are_refused(rollouts: Path) -> None:
    path = rollouts / "steps.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(ArtifactError, match="not about the same episodes"):
        list(read_trajectories(rollouts))
