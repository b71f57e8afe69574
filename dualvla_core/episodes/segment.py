"""Decoded episodes on disk: an Arrow file of frames, one record batch per episode, and its index."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.jpeg import decode_jpeg
from dualvla_core.episodes.video import Image
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import (
    ANNOTATED,
    EPISODES,
    FORMAT_VERSION,
    IMAGE_PREFIX,
    SIGNALS,
    SKIPPED,
    cameras_of,
    check_schema,
    frames_schema,
)

REASONING_FILE = "reasoning.parquet"
_METADATA_KEY = b"dualvla"


class SegmentWriter:
    """Writes a segment episode by episode into an empty folder; use it as a context manager."""

    def __init__(self, folder: Path, embodiment: Embodiment, cameras: list[str]) -> None:
        self._folder = folder
        self._embodiment = embodiment
        self._cameras = cameras
        self._episodes: list[dict[str, Any]] = []
        self._skipped: list[dict[str, Any]] = []
        metadata = json.dumps({"format": FORMAT_VERSION, "embodiment": embodiment.model_dump(mode="json")})
        self.schema = frames_schema(cameras).with_metadata({_METADATA_KEY: metadata.encode()})
        self._frames = pa.ipc.new_file(folder / "frames.arrow", self.schema)

    def append(self, batch: pa.RecordBatch, fps: float) -> None:
        """Add one decoded episode, `frames_schema` with its ``episode`` column filled."""
        check_schema(batch.schema, self.schema, "a decoded episode")
        self._frames.write_batch(batch.replace_schema_metadata(self.schema.metadata))
        first = batch.slice(0, 1).select(["episode", "instruction"]).to_pylist()[0]
        described = {"length": batch.num_rows, "fps": fps, "embodiment": self._embodiment.name}
        self._episodes.append({**first, **described, "cameras": self._cameras})

    def skip(self, episode_index: int, digest: str, reason: str) -> None:
        """Note an episode that could not be decoded."""
        self._skipped.append({"episode_index": episode_index, "episode": digest, "reason": reason})

    def __enter__(self) -> SegmentWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._frames.close()
        if error is None:
            for rows, schema, name in ((self._episodes, EPISODES, "episodes"), (self._skipped, SKIPPED, "skipped")):
                table = pa.Table.from_pylist(rows, schema)
                pq.write_table(table, self._folder / f"{name}.parquet", compression="zstd")


class Segment:
    """A segment, memory-mapped: an episode is read when it is asked for. Raises `ArtifactError` when it is broken.

    With ``reasoning``, a folder that `annotate_reasoning` wrote, the frames carry the reasoning found there.
    """

    def __init__(self, folder: Path, reasoning: Path | None = None) -> None:
        try:
            source = pa.memory_map(str(folder / "frames.arrow"))
            self._file = pa.ipc.open_file(source)
            names = [name for name in SIGNALS.names if name in self._file.schema.names]
            fields = [self._file.schema.get_field_index(name) for name in names]
            self._signals = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(included_fields=fields))
            self.episodes: pa.Table = pq.read_table(folder / "episodes.parquet")
        except (OSError, pa.ArrowException) as error:
            raise ArtifactError(
                f"{folder} does not hold a readable segment (frames.arrow, episodes.parquet)."
            ) from error
        self.cameras = cameras_of(self._file.schema)
        check_schema(self._file.schema, frames_schema(self.cameras), "frames.arrow")
        check_schema(self.episodes.schema, EPISODES, "episodes.parquet")
        self.embodiment = _read_embodiment(self._file.schema)
        if self._file.num_record_batches != self.episodes.num_rows:
            raise ArtifactError(
                f"frames.arrow holds {self._file.num_record_batches} episodes, its index lists "
                f"{self.episodes.num_rows}; decode the segment again."
            )
        self._reasoning = None if reasoning is None else self._read_reasoning(reasoning)
        self._positions = {digest: i for i, digest in enumerate(self.episodes["episode"].to_pylist())}

    def __len__(self) -> int:
        return int(self.episodes.num_rows)

    def find(self, digest: str) -> int:
        """The position of the episode ``digest``. Raises `ArtifactError` when the segment does not hold it."""
        if digest not in self._positions:
            raise ArtifactError(f"The segment does not hold the episode {digest}; it holds {len(self)} others.")
        return self._positions[digest]

    def signals(self, position: int) -> pa.RecordBatch:
        """The canonical episode without images (`schemas.SIGNALS`); no image byte is touched."""
        batch = self._signals.get_batch(position)
        if self._reasoning is None:
            return batch
        column = batch.schema.get_field_index("reasoning")
        return batch.set_column(column, batch.schema.field(column), self._reasoning[position])

    def _read_reasoning(self, folder: Path) -> list[pa.Array]:
        """The reasoning of each episode. Raises `ArtifactError` when it is about other frames."""
        path = folder / REASONING_FILE
        if not path.is_file():
            raise ArtifactError(f"There is no {REASONING_FILE} in {folder.name}; run annotate_reasoning first.")
        table = pq.read_table(path)
        check_schema(table.schema, ANNOTATED, REASONING_FILE)
        lengths = self.episodes["length"].to_numpy()
        expected = np.repeat(np.asarray(self.episodes["episode"].to_pylist()), lengths)
        if table.num_rows != len(expected) or (np.asarray(table["episode"].to_pylist()) != expected).any():
            raise ArtifactError(f"{REASONING_FILE} is not about the frames of this segment; annotate it again.")
        starts = np.cumsum(lengths) - lengths
        column = table["reasoning"].combine_chunks()
        return [column.slice(start, length) for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)]

    def images(self, position: int, camera: str) -> list[bytes]:
        """The episode's JPEG images of one camera, in frame order."""
        self._check_camera(camera)
        images: list[bytes] = self._batch(position)[IMAGE_PREFIX + camera].to_pylist()
        return images

    def frames(self, position: int, camera: str) -> Iterator[Image]:
        """The episode's images of one camera as ``[H, W, 3]`` RGB, in frame order, decoded one at a time."""
        self._check_camera(camera)
        for image in self._batch(position)[IMAGE_PREFIX + camera]:
            yield _decoded(image, camera)

    def frame(self, position: int, camera: str, index: int) -> Image:
        """One image of an episode as ``[H, W, 3]`` RGB; nothing but its own bytes is read."""
        self._check_camera(camera)
        return _decoded(self._batch(position)[IMAGE_PREFIX + camera][index], camera)

    def _batch(self, position: int) -> pa.RecordBatch:
        return self._file.get_batch(position)

    def _check_camera(self, camera: str) -> None:
        if camera not in self.cameras:
            raise ArtifactError(f"The segment has no camera {camera!r}; it has {self.cameras}.")


def _decoded(image: pa.Scalar, camera: str) -> Image:
    try:
        return decode_jpeg(image.as_buffer())
    except ValueError as error:
        raise ArtifactError(
            f"An image of camera {camera!r} in frames.arrow is broken; decode the segment again."
        ) from error


def _read_embodiment(schema: pa.Schema) -> Embodiment:
    try:
        described = json.loads((schema.metadata or {})[_METADATA_KEY])
        if described["format"] != FORMAT_VERSION:
            raise ArtifactError(
                f"frames.arrow has the format {described['format']}, this version reads {FORMAT_VERSION}; decode the "
                "segment again."
            )
        return Embodiment.model_validate(described["embodiment"])
    except (KeyError, TypeError, json.JSONDecodeError, ValidationError) as error:
        raise ArtifactError("frames.arrow does not say which embodiment it holds; decode the segment again.") from error
