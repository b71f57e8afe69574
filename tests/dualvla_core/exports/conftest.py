"""A collection of two pruned segments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.segment import Segment
from dualvla_core.exports import PrunedSegment
from dualvla_core.schemas import COLLECTION
from tests.dualvla_core.conftest import SyntheticEpisode, write_segment
from tests.dualvla_core.shards.conftest import write_decisions

LENGTHS = {"one": (6, 4), "two": (5,)}


@dataclass(frozen=True)
class Curated:
    """What an export is given."""

    collection: Path
    segments: list[PrunedSegment]
    output: Path


MakeCurated = Callable[..., Curated]


@pytest.fixture
def make_curated(tmp_path: Path) -> MakeCurated:
    """A factory ``(**episode fields) -> Curated`` of episodes 0 (held out), 1 and 2; odd frames keep reasoning.

    A field may be a function of the episode's length.
    """

    def make(**fields: object) -> Curated:
        rows, segments = [], []
        for key, lengths in LENGTHS.items():
            episodes = [_episode(length, f"{key}-{length}", fields) for length in lengths]
            segment = write_segment(tmp_path / key, episodes, "pose", ["front", "wrist"])
            decisions = write_decisions(tmp_path / f"{key}-decisions", segment, lambda index: index % 2 == 1)
            segments.append(PrunedSegment(key, segment, decisions))
            for position, row in enumerate(Segment(segment).episodes.to_pylist()):
                rows.append(
                    {
                        **{name: row[name] for name in ("episode", "length", "fps", "instruction")},
                        "episode_index": len(rows),
                        "segment": key,
                        "position": position,
                        "split": "train" if rows else "held_out",
                        "task": "push",
                        "initial_condition": f"push/{len(rows)}",
                    }
                )
        folder = tmp_path / "collection"
        folder.mkdir()
        pq.write_table(pa.Table.from_pylist(rows, COLLECTION), folder / "collection.parquet")
        output = tmp_path / "output"
        output.mkdir()
        return Curated(folder, segments, output)

    return make


def _episode(length: int, name: str, fields: dict[str, object]) -> SyntheticEpisode:
    trajectory = np.linspace(0, 1, length)[:, None] * np.arange(1, 7)
    reasoning = [f"push on, step {index}" for index in range(length)]
    base = {"gripper": np.ones((length, 1)), "reasoning": reasoning, "name": name}
    values = {field: value(length) if callable(value) else value for field, value in (base | fields).items()}
    return SyntheticEpisode(trajectory, **values)  # type: ignore[arg-type]
