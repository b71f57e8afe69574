from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import EPISODES, MOMENTS, robot_shard_schema
from dualvla_core.shards import ShardsConfig, build_shard
from tests.dualvla_core.conftest import SyntheticEpisode, write_segment
from tests.dualvla_core.shards.conftest import write_decisions

Digest = Callable[[pa.Table], str]

# Digest of the output of stage version 2 (images aside); when it changes, raise the stage's version in tasks/ and
# record it anew.
GOLDEN = {"version": 2, "digest": "f68172a32f43cd88"}


def _episodes() -> list[dict[str, object]]:
    trajectory = np.linspace(0, 1, 8)[:, None] * np.arange(1, 7)
    reasoning = ["reach it", None, "hold on", "hold on", "push it", None, "done", "done"]
    gripper = (np.arange(8) > 3).astype(float)[:, None]
    return [
        {"trajectory": trajectory[:cut], "gripper": gripper[:cut], "reasoning": reasoning[:cut]} for cut in (8, 3, 1)
    ]


def _table(folder: Path) -> pa.Table:
    return pa.ipc.open_file(str(folder / "shard.arrow")).read_all()


def test_every_frame_and_action_is_in_the_shard(make_shard: Callable[..., Path], tmp_path: Path) -> None:
    shard = _table(make_shard(_episodes(), cameras=("front", "wrist")))
    segment = pa.ipc.open_file(str(tmp_path / "shard-segment" / "frames.arrow")).read_all()
    assert shard.schema.equals(robot_shard_schema(["front", "wrist"]))
    unchanged = [name for name in segment.column_names if name != "reasoning"]
    assert shard.select(unchanged).equals(segment.select(unchanged))


def test_reasoning_is_null_where_it_was_not_kept(make_shard: Callable[..., Path]) -> None:
    shard = _table(make_shard(_episodes(), keep=lambda index: index in (1, 2, 6))).slice(0, 8)
    kept = {2: [{"style": "subtask", "content": "hold on"}], 6: [{"style": "subtask", "content": "done"}]}
    assert shard["keep"].to_pylist() == [index in (1, 2, 6) for index in range(8)]
    assert shard["reasoning"].to_pylist() == [kept.get(index) for index in range(8)]


def test_pruned_reasoning_can_stay_as_context(make_shard: Callable[..., Path], tmp_path: Path) -> None:
    make_shard(_episodes(), keep=lambda index: index == 2)
    output = tmp_path / "context"
    output.mkdir()
    summary = build_shard(
        ShardsConfig(pruned_reasoning="context"), tmp_path / "shard-segment", tmp_path / "shard-decisions", output
    )
    segment = pa.ipc.open_file(str(tmp_path / "shard-segment" / "frames.arrow")).read_all()
    assert _table(output)["reasoning"].equals(segment["reasoning"])
    assert _table(output)["keep"].to_pylist() == [index == 2 for length in (8, 3, 1) for index in range(length)]
    assert summary["frames_with_reasoning"] == 2


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    seed=st.integers(0, 99),
    variant=st.sampled_from(["removed", "context"]),
)
@settings(max_examples=15, deadline=None)
def test_no_frame_and_no_action_is_lost_and_their_order_is_kept(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], seed: int, variant: Literal["removed", "context"]
) -> None:
    folder = tmp_path_factory.mktemp("property")
    rng = np.random.default_rng(seed)
    episodes = [SyntheticEpisode(rng.random((n, 6)), reasoning=[f"say {k}" for k in range(n)]) for n in lengths]
    segment = write_segment(folder / "segment", episodes, "pose", ["front"])
    keep = rng.random(9) < 0.5
    decisions = write_decisions(folder / "decisions", segment, lambda index: bool(keep[index]))
    build_shard(ShardsConfig(pruned_reasoning=variant), segment, decisions, folder)
    before = pa.ipc.open_file(str(segment / "frames.arrow")).read_all()
    after = _table(folder)
    untouched = [name for name in before.column_names if name != "reasoning"]
    assert after.select(untouched).equals(before.select(untouched))


def test_the_index_and_embodiment_come_along(make_shard: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_shard(_episodes())
    segment = Segment(tmp_path / "shard-segment")
    episodes = pq.read_table(folder / "episodes.parquet")
    assert episodes.equals(segment.episodes)
    assert episodes.schema.equals(EPISODES)
    file = pa.ipc.open_file(str(folder / "shard.arrow"))
    assert [file.get_batch(index).num_rows for index in range(file.num_record_batches)] == [8, 3, 1]
    metadata = json.loads(file.schema.metadata[b"dualvla"])
    assert metadata == {"format": 1, "embodiment": segment.embodiment.model_dump(mode="json")}


def test_the_summary_counts(make_shard: Callable[..., Path], tmp_path: Path) -> None:
    make_shard(_episodes())
    output = tmp_path / "again"
    output.mkdir()
    calls: list[tuple[int, int]] = []
    summary = build_shard(
        ShardsConfig(),
        tmp_path / "shard-segment",
        tmp_path / "shard-decisions",
        output,
        lambda done, total: calls.append((done, total)),
    )
    assert summary == {"episodes": 3, "frames": 12, "frames_with_reasoning": 4 + 2 + 1}
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert (output / "shard.arrow").read_bytes() == (tmp_path / "shard" / "shard.arrow").read_bytes()


def test_moments_come_along(make_shard: Callable[..., Path]) -> None:
    folder = make_shard(_episodes())
    moments = pq.read_table(folder / "moments.parquet")
    assert moments.schema.equals(MOMENTS)
    assert moments["episode"].equals(pq.read_table(folder / "episodes.parquet")["episode"])
    actions = np.array(_table(folder).slice(8, 3)["action"].to_pylist())
    np.testing.assert_allclose(moments["action"][1]["mean"].as_py(), actions.mean(axis=0))


def test_decisions_about_another_segment_are_refused(
    make_shard: Callable[..., Path], make_segment: Callable[..., Path], tmp_path: Path
) -> None:
    make_shard(_episodes())
    other = make_segment([{"trajectory": np.zeros((12, 6))}], name="other")
    with pytest.raises(ArtifactError, match=r"decisions.parquet are not the frames of episode"):
        build_shard(ShardsConfig(), other, tmp_path / "shard-decisions", tmp_path)


def test_the_output_is_that_of_this_version(make_shard: Callable[..., Path], table_digest: Digest) -> None:
    shard = _table(make_shard(_episodes()))
    assert table_digest(shard.drop_columns(["image.front"])) == GOLDEN["digest"]
