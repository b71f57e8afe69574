from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.kinematics import KinematicsConfig, compute_kinematics
from dualvla_core.pruning import PruningConfig, prune_reasoning
from dualvla_core.schemas import BOUNDARIES, DECISIONS

Digest = Callable[[pa.Table], str]

# Digest of the output of stage version 2; when it changes, raise the stage's version in tasks/ and record it anew.
GOLDEN = {"version": 2, "digest": "84d3b9f619c38d19"}


@pytest.fixture
def segment(make_segment: Callable[..., Path]) -> Path:
    rows = np.arange(20)[:, None]
    trajectory = np.sin(rows * (1 + np.arange(6)) / 5)
    gripper = (rows > 9).astype(float)
    reasoning = [None if index % 5 == 4 else f"step {index} of it" for index in range(20)]
    return make_segment(
        [{"trajectory": trajectory[:cut], "gripper": gripper[:cut], "reasoning": reasoning[:cut]} for cut in (20, 7, 1)]
    )


@pytest.fixture
def kinematics(segment: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "kinematics"
    folder.mkdir()
    compute_kinematics(KinematicsConfig(), segment, folder)
    return folder


def _boundaries(segment: Path, folder: Path) -> pa.Table:
    """Boundary scores with a boundary at every fifth frame."""
    folder.mkdir(exist_ok=True)
    keys = pa.concat_tables(
        [
            pa.Table.from_batches([Segment(segment).signals(index).select(["episode", "frame_index"])])
            for index in range(3)
        ]
    )
    scores = np.where(keys["frame_index"].to_numpy() % 5 == 2, 0.75, 0.25).astype(np.float32)
    table = keys.append_column(BOUNDARIES.field("score"), pa.array(scores))
    pq.write_table(table, folder / "boundaries.parquet")
    return table


@pytest.fixture
def boundaries(segment: Path, tmp_path: Path) -> Path:
    _boundaries(segment, tmp_path / "boundaries")
    return tmp_path / "boundaries"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    folder = tmp_path / "output"
    folder.mkdir()
    return folder


def test_frames_and_words_are_counted(segment: Path, boundaries: Path, kinematics: Path, output: Path) -> None:
    summary = prune_reasoning(PruningConfig(), segment, boundaries, kinematics, output)
    table = pq.read_table(output / "decisions.parquet")
    assert table.schema.equals(DECISIONS)
    kept = [row for row in table.to_pylist() if row["keep"]]
    assert 0 < len(kept) < 28
    assert summary == {
        "frames": 28,
        "kept": len(kept),
        "retention_ratio": len(kept) / 28,
        "words_before": 4 * (16 + 6 + 1),
        "words_after": 4 * sum(row["has_reasoning"] for row in kept),
    }


def test_every_frame_of_the_segment_is_decided_once(
    segment: Path, boundaries: Path, kinematics: Path, output: Path
) -> None:
    prune_reasoning(PruningConfig(rule="random"), segment, boundaries, kinematics, output)
    table = pq.read_table(output / "decisions.parquet")
    names = Segment(segment).episodes["episode"].to_pylist()
    keys = list(zip(table["episode"].to_pylist(), table["frame_index"].to_pylist(), strict=True))
    assert keys == [(name, index) for name, cut in zip(names, (20, 7, 1), strict=True) for index in range(cut)]


def test_the_output_is_that_of_this_version(
    segment: Path, boundaries: Path, kinematics: Path, output: Path, table_digest: Digest
) -> None:
    prune_reasoning(PruningConfig(), segment, boundaries, kinematics, output)
    assert table_digest(pq.read_table(output / "decisions.parquet")) == GOLDEN["digest"]


def test_a_missing_table_is_named(segment: Path, kinematics: Path, output: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no boundaries.parquet in nowhere"):
        prune_reasoning(PruningConfig(), segment, tmp_path / "nowhere", kinematics, output)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.slice(1), "27 rows for the segment's 28 frames"),
        (lambda table: table.take([1, 0, *range(2, 28)]), "Rows 0 to 19 of boundaries.parquet"),
        (lambda table: pa.concat_tables([table.slice(20), table.slice(0, 20)]), "Rows 0 to 19 of boundaries.parquet"),
        (lambda table: table.drop_columns(["score"]), "lacks the column 'score'"),
    ],
    ids=["shorter", "frames swapped", "episodes swapped", "column missing"],
)
def test_tables_about_other_frames_are_refused(
    segment: Path,
    boundaries: Path,
    kinematics: Path,
    output: Path,
    change: Callable[[pa.Table], pa.Table],
    message: str,
) -> None:
    path = boundaries / "boundaries.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    with pytest.raises(ArtifactError, match=message):
        prune_reasoning(PruningConfig(), segment, boundaries, kinematics, output)


def test_the_stage_says_when_it_is_done(segment: Path, kinematics: Path, boundaries: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    calls: list[tuple[int, int]] = []
    prune_reasoning(
        PruningConfig(),
        segment,
        boundaries,
        kinematics,
        tmp_path / "out",
        lambda done, all_: calls.append((done, all_)),
    )
    assert calls == [(3, 3)]
