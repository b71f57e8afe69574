"""From a decoded segment and its pruning decisions to a training shard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.episodes.segment import Segment
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.pruning.inputs import read_aligned
from dualvla_core.schemas import DECISIONS, FORMAT_VERSION, IMAGE_PREFIX, MOMENTS, robot_shard_schema
from dualvla_core.shards.config import ShardsConfig
from dualvla_core.shards.moments import episode_moments
from dualvla_core.shards.reader import EPISODES_FILE, MOMENTS_FILE, SHARD_FILE


def build_shard(
    params: ShardsConfig,
    segment: Path,
    decisions: Path,
    output: Path,
    progress: Progress = silent,
) -> Summary:
    """Write ``shard.arrow`` (`schemas.robot_shard_schema`), its index and its moments.

    Every frame of ``segment`` and its raw action is in the shard, and with `ShardsConfig.pruned_reasoning` = "removed"
    its reasoning is null where ``decisions`` (the folder that `prune_reasoning` wrote) did not keep it. Beside it lie
    ``episodes.parquet`` (`schemas.EPISODES`) and ``moments.parquet`` (`schemas.MOMENTS`), a row per episode.

    Raises `ArtifactError` when the decisions are not about the segment's frames.
    """
    opened = Segment(segment)
    keep = read_aligned(decisions / "decisions.parquet", DECISIONS, opened)["keep"].combine_chunks()
    metadata = {"format": FORMAT_VERSION, "embodiment": opened.embodiment.model_dump(mode="json")}
    schema = robot_shard_schema(opened.cameras).with_metadata({"dualvla": json.dumps(metadata, sort_keys=True)})
    start, reasoned, moments = 0, 0, []
    with pa.ipc.new_file(str(output / SHARD_FILE), schema) as writer:
        for index in range(len(opened)):
            batch = _frames(params, opened, index, keep.slice(start, opened.signals(index).num_rows), schema)
            writer.write_batch(batch)
            moments.append(episode_moments(batch))
            start += batch.num_rows
            reasoned += pc.sum(pc.and_(batch.column("keep"), batch.column("reasoning").is_valid())).as_py()
            progress(index + 1, len(opened))
    pq.write_table(opened.episodes, output / EPISODES_FILE, compression="zstd")
    pq.write_table(pa.Table.from_pylist(moments, MOMENTS), output / MOMENTS_FILE, compression="zstd")
    return {"episodes": len(opened), "frames": start, "frames_with_reasoning": reasoned}


def _frames(params: ShardsConfig, segment: Segment, index: int, keep: pa.Array, schema: pa.Schema) -> pa.RecordBatch:
    """The record batch of episode ``index``, whose verdicts are ``keep``."""
    signals = segment.signals(index)
    columns = {name: signals.column(name) for name in signals.schema.names}
    if params.pruned_reasoning == "removed":
        rows = pa.array(np.arange(len(keep)), mask=~keep.to_numpy(zero_copy_only=False))
        columns["reasoning"] = columns["reasoning"].take(rows)  # a null index yields null
    columns["keep"] = keep
    for camera in segment.cameras:
        columns[IMAGE_PREFIX + camera] = pa.array(segment.images(index, camera), pa.binary())
    return pa.RecordBatch.from_pydict(columns, schema=schema)
