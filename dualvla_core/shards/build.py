"""From a decoded segment and its pruning decisions to a training shard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.segment import Segment
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.pruning.inputs import read_aligned
from dualvla_core.schemas import DECISIONS, FORMAT_VERSION, IMAGE_PREFIX, robot_shard_schema
from dualvla_core.shards.config import ShardsConfig
from dualvla_core.shards.reader import EPISODES_FILE, SHARD_FILE


def build_shard(
    params: ShardsConfig,  # noqa: ARG001 - every stage takes its parameters, this one has none yet
    segment: Path,
    decisions: Path,
    output: Path,
    progress: Progress = silent,
    reasoning: Path | None = None,
) -> Summary:
    """Write ``shard.arrow`` (`schemas.robot_shard_schema`) and ``episodes.parquet`` (`schemas.EPISODES`).

    Every frame of ``segment`` and its raw action is in the shard; reasoning is null where ``decisions`` (the folder
    that `prune_reasoning` wrote) did not keep it. ``reasoning`` is the folder of `annotate_reasoning` where some was
    added.

    Raises `ArtifactError` when the decisions are not about the segment's frames.
    """
    opened = Segment(segment, reasoning)
    keep = read_aligned(decisions / "decisions.parquet", DECISIONS, opened)["keep"].combine_chunks()
    metadata = {"format": FORMAT_VERSION, "embodiment": opened.embodiment.model_dump(mode="json")}
    schema = robot_shard_schema(opened.cameras).with_metadata({"dualvla": json.dumps(metadata, sort_keys=True)})
    start, reasoned = 0, 0
    with pa.ipc.new_file(str(output / SHARD_FILE), schema) as writer:
        for index in range(len(opened)):
            batch = _frames(opened, index, keep, start, schema)
            writer.write_batch(batch)
            start += batch.num_rows
            reasoned += batch.num_rows - batch.column("reasoning").null_count
            progress(index + 1, len(opened))
    pq.write_table(opened.episodes, output / EPISODES_FILE, compression="zstd")
    return {"episodes": len(opened), "frames": start, "frames_with_reasoning": reasoned}


def _frames(segment: Segment, index: int, keep: pa.Array, start: int, schema: pa.Schema) -> pa.RecordBatch:
    """The record batch of episode ``index``, whose verdicts begin at ``keep[start]``."""
    signals = segment.signals(index)
    kept = keep.slice(start, signals.num_rows)
    rows = pa.array(np.arange(signals.num_rows), mask=~kept.to_numpy(zero_copy_only=False))
    columns = {name: signals.column(name) for name in signals.schema.names}
    columns["reasoning"] = columns["reasoning"].take(rows)  # a null index yields null
    columns["keep"] = kept
    for camera in segment.cameras:
        columns[IMAGE_PREFIX + camera] = pa.array(segment.images(index, camera), pa.binary())
    return pa.RecordBatch.from_pydict(columns, schema=schema)
