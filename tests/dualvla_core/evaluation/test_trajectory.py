from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.tables import OBJECTS
from dualvla_core.evaluation.trajectory import Frame, Utterance, read_trajectories, write_trajectories


def test_trajectories_hold_what_was_recorded(rollouts: Path) -> None:
    first, second = read_trajectories(rollouts)
    assert first.states.round(3).tolist() == [[0, 0], [pytest.approx(0.1), 0], [pytest.approx(0.2), 0]]
    assert first.actions.tolist() == [[0], [1]]
    assert {name: track.shape for name, track in first.objects.items()} == {"ball": (3, 3)}
    assert first.objects["ball"][:, 2].tolist() == pytest.approx([0, 0.1, 0.2])
    assert first.reasoning == (Utterance(0, "Move up."),)
    assert first.frames == (Frame(0, b"\x00"), Frame(2, b"\x02"))
    assert (first.task, first.seed, first.success, first.steps, first.max_steps) == ("reach", 5, True, 2, 9)
    assert (first.instruction, first.policy_type) == ("Reach the red ball.", "generalist")
    assert second.states[:, 0].tolist() == pytest.approx([1, 1.1])
    assert (second.rollout, second.seed, second.success, second.steps) == (1, 6, False, 1)


def test_objects_are_optional(rollouts: Path) -> None:
    path = rollouts / "steps.parquet"
    steps = pq.read_table(path)
    column = steps.column_names.index("objects")
    pq.write_table(steps.set_column(column, steps.field("objects"), pa.nulls(len(steps), OBJECTS)), path)
    assert [each.objects for each in read_trajectories(rollouts)] == [{}, {}]


def test_what_is_written_is_read_back(rollouts: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    before = list(read_trajectories(rollouts))
    write_trajectories(before, read_protocol(rollouts), tmp_path / "copy")
    for one, other in zip(before, read_trajectories(tmp_path / "copy"), strict=True):
        assert one.states.tolist() == other.states.tolist()
        assert one.actions.tolist() == other.actions.tolist()
        assert one.objects["ball"].tolist() == other.objects["ball"].tolist()
        for name in ("rollout", "task", "seed", "instruction", "policy_type", "success", "reasoning", "frames"):
            assert getattr(one, name) == getattr(other, name)


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
