"""Robot shards of synthetic episodes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.segment import Segment
from dualvla_core.schemas import DECISIONS
from dualvla_core.shards import ShardsConfig, build_shard

MakeShard = Callable[..., Path]


def write_decisions(folder: Path, segment: Path, keep: Callable[[int], bool]) -> Path:
    """Decisions that keep the frames whose index ``keep`` accepts."""
    opened = Segment(segment)
    rows = [
        {
            "episode": episode,
            "frame_index": index,
            "keep": keep(index),
            "rule": "kept: no pruning" if keep(index) else "dropped: steady motion",
            "scene_label": True,
            "action_label": keep(index),
            "boundary_score": 0.5,
            "boundary_threshold": 0.5,
            "gripper_flip": False,
            "has_reasoning": True,
            "reasoning_words": 1,
        }
        for episode, length in zip(*(opened.episodes[name].to_pylist() for name in ("episode", "length")), strict=True)
        for index in range(length)
    ]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, DECISIONS), folder / "decisions.parquet")
    return folder


@pytest.fixture
def make_shard(make_segment: Callable[..., Path], tmp_path: Path) -> MakeShard:
    """A factory ``(episodes, space, cameras, name, keep) -> folder`` of robot shards; see `make_segment`."""

    def make(
        episodes: Sequence[Mapping[str, Any]],
        space: str = "pose",
        cameras: Sequence[str] = ("front",),
        name: str = "shard",
        keep: Callable[[int], bool] = lambda index: index % 2 == 0,
    ) -> Path:
        segment = make_segment(episodes, space, cameras, f"{name}-segment")
        decisions = write_decisions(tmp_path / f"{name}-decisions", segment, keep)
        folder = tmp_path / name
        folder.mkdir()
        build_shard(ShardsConfig(), segment, decisions, folder)
        return folder

    return make
