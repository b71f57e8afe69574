"""Reading the tables that other stages wrote about a segment."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import check_schema


def read_aligned(path: Path, schema: pa.Schema, segment: Segment) -> pa.Table:
    """The table at ``path``, row by row about the frames of ``segment``.

    Raises `ArtifactError` when it is missing, of another schema, or about other frames or another order.
    """
    if not path.is_file():
        raise ArtifactError(f"There is no {path.name} in {path.parent.name}; run the stage that makes it first.")
    table = pq.read_table(path)
    check_schema(table.schema, schema, path.name)
    expected = sum(segment.episodes["length"].to_pylist())
    if len(table) != expected:
        raise ArtifactError(f"{path.name} has {len(table)} rows for the segment's {expected} frames; make it anew.")
    start = 0
    for episode, length in zip(*(segment.episodes[name].to_pylist() for name in ("episode", "length")), strict=True):
        rows = table.slice(start, length)
        own = pc.equal(rows["episode"], episode)
        in_order = pc.equal(rows["frame_index"], pa.array(range(length), pa.int32()))
        if not pc.all(pc.and_(own, in_order)).as_py():
            raise ArtifactError(
                f"Rows {start} to {start + length - 1} of {path.name} are not the frames of episode {episode} in "
                "order; make it anew from this segment."
            )
        start += length
    return table
