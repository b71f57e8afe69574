"""The encoded images of a benchmark, each stored once."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.tables import IMAGES, IMAGES_FILE
from dualvla_core.schemas import check_schema


class ImageTable:
    """Writes ``images.arrow``; an image that was added before keeps its row."""

    def __init__(self, folder: Path) -> None:
        self._writer = pa.ipc.new_file(str(folder / IMAGES_FILE), IMAGES)
        self._rows: dict[bytes, int] = {}

    def __enter__(self) -> ImageTable:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._writer.close()

    @property
    def count(self) -> int:
        """How many different images there are."""
        return len(self._rows)

    def add(self, image: bytes) -> int:
        """The row of an encoded image."""
        digest = hashlib.sha256(image).digest()
        if digest not in self._rows:
            self._rows[digest] = len(self._rows)
            self._writer.write_batch(pa.RecordBatch.from_pylist([{"image": image}], IMAGES))
        return self._rows[digest]


class ImageReader:
    """Reads ``images.arrow`` a row at a time. Raises `ArtifactError` when it cannot be read."""

    def __init__(self, folder: Path) -> None:
        path = folder / IMAGES_FILE
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        except (OSError, pa.ArrowInvalid) as error:
            raise ArtifactError(f"{path.name} of {folder.name!r} cannot be read; read the benchmark again.") from error
        check_schema(self._reader.schema, IMAGES, path.name)

    def decode(self, row: int) -> npt.NDArray[np.uint8]:
        """One image as RGB ``[H, W, 3]``."""
        content = self._reader.get_batch(row)["image"][0].as_py()
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR_RGB)
        if pixels is None:
            raise ArtifactError(f"Image {row} of {IMAGES_FILE} cannot be decoded; read the benchmark again.")
        return np.asarray(pixels, np.uint8)
