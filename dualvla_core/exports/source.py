"""What every export reads: the episodes of a collection in their segments, and which frames keep their reasoning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualvla_core.episodes.segment import Segment
from dualvla_core.exports.config import ExportConfig
from dualvla_core.pruning.inputs import read_aligned
from dualvla_core.schemas import COLLECTION, DECISIONS


@dataclass(frozen=True)
class PrunedSegment:
    """A decoded segment, the key it is stored under, and the decisions about it."""

    key: str
    segment: Path
    decisions: Path


def episodes_of(params: ExportConfig, collection: Path, key: str) -> list[dict[str, Any]]:
    """The collection's episodes in a segment, in the segment's order."""
    rows: list[dict[str, Any]] = pq.read_table(collection / "collection.parquet", schema=COLLECTION).to_pylist()
    own = [row for row in rows if row["segment"] == key and (params.split == "all" or row["split"] == params.split)]
    return sorted(own, key=lambda row: int(row["position"]))


def kept_frames(pruned: PrunedSegment, segment: Segment) -> list[NDArray[np.bool_]]:
    """Verdicts of each of the segment's episodes."""
    keep = read_aligned(pruned.decisions / "decisions.parquet", DECISIONS, segment)["keep"].to_numpy()
    return np.split(keep, np.cumsum(segment.episodes["length"].to_numpy())[:-1])
