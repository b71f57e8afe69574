"""Reading a robot shard in place: memory-mapped."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import EPISODES, MOMENTS, cameras_of, check_schema, robot_shard_schema

SHARD_FILE = "shard.arrow"
EPISODES_FILE = "episodes.parquet"
MOMENTS_FILE = "moments.parquet"


class ShardReader:
    """One robot shard: its index, its embodiment, and its episodes as record batches.

    Raises `ArtifactError` when the folder is no robot shard.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / SHARD_FILE
        if not path.is_file():
            raise ArtifactError(f"There is no {SHARD_FILE} in {folder.name}; expected a shard made by build_shard.")
        source = pa.memory_map(str(path))
        self._file = pa.ipc.open_file(source)
        schema = self._file.schema
        check_schema(schema, robot_shard_schema(cameras_of(schema)), SHARD_FILE)
        self.cameras = cameras_of(schema)
        self.embodiment = Embodiment.model_validate(json.loads(schema.metadata[b"dualvla"])["embodiment"])
        self.episodes: pa.Table = pq.read_table(folder / EPISODES_FILE)
        check_schema(self.episodes.schema, EPISODES, EPISODES_FILE)
        self._folder = folder

    def __len__(self) -> int:
        return int(self._file.num_record_batches)

    @cached_property
    def moments(self) -> list[dict[str, Any]]:
        """One row of `schemas.MOMENTS` per episode."""
        table = pq.read_table(self._folder / MOMENTS_FILE)
        check_schema(table.schema, MOMENTS, MOMENTS_FILE)
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    def episode(self, index: int) -> pa.RecordBatch:
        """The frames of episode ``index``."""
        return self._file.get_batch(index)


def matrix(column: pa.Array, where: str) -> NDArray[np.float32] | None:
    """A list column ``[T]`` as an array ``[T, D]``, without copying; None where the column is null throughout.

    Raises `ArtifactError` naming ``where`` when the rows are of different width or only some are null.
    """
    if column.null_count == len(column):
        return None
    widths = np.diff(column.offsets.to_numpy())
    if column.null_count or (widths != widths[0]).any():
        raise ArtifactError(f"{where} does not hold the same number of values on every frame; rebuild the shard.")
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False)).reshape(len(column), -1)
