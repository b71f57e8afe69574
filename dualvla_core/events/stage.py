"""From the images of a segment to an event-boundary score per frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dualvla_core.episodes.jpeg import decode_jpeg
from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.events.config import EventsConfig
from dualvla_core.events.detector import Frame, create_detector
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import BOUNDARIES

BOUNDARIES_FILE = "boundaries.parquet"


class EncodedFrames(Sequence[Frame]):
    """Encoded images ``[T]`` as RGB frames, each decoded when it is asked for.

    At 80 Hz a detector may need every eighth frame only, and decoding costs more than looking.
    """

    def __init__(self, images: Sequence[bytes]) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | Sequence[Frame]:
        """Frame ``index`` as RGB ``[H, W, 3]``. Raises `ArtifactError` when its image cannot be decoded."""
        if isinstance(index, slice):
            return EncodedFrames(self._images[index])
        try:
            return decode_jpeg(self._images[index])
        except ValueError as error:
            raise ArtifactError(
                f"The image of frame {index} cannot be decoded; decode the segment's episodes again."
            ) from error


def detect_event_boundaries(
    params: EventsConfig, segment: Path, output: Path, trained: Path | None = None, progress: Progress = silent
) -> Summary:
    """Write ``boundaries.parquet`` (`schemas.BOUNDARIES`) for every frame of ``segment``, in its order.

    ``trained`` is the folder of the trained detector, if ``params`` names one that is trained.

    Raises `ConfigError` when ``params`` names a camera there is not, or a trained detector is wanted and not given.
    """
    opened = Segment(segment)
    detector = create_detector(params, trained)
    cameras = watched_cameras(params.cameras, opened.cameras)
    scores = []
    for index in range(len(opened)):
        timestamps = opened.signals(index).column("timestamp").to_numpy()
        scores.append(detector.score(views_of(opened, index, cameras), timestamps))
        progress(index + 1, len(opened))
    lengths = [len(score) for score in scores]
    columns = {
        "episode": np.repeat(np.asarray(opened.episodes["episode"].to_pylist(), dtype=object), lengths),
        "frame_index": np.concatenate([np.arange(length, dtype=np.int32) for length in [0, *lengths]]),
        "score": np.concatenate([np.zeros(0, np.float32), *scores]),
    }
    table = pa.table(columns, schema=BOUNDARIES)
    pq.write_table(table, output / BOUNDARIES_FILE, compression="zstd")
    return {"frames": len(table), "mean_score": float(columns["score"].sum() / max(1, len(table)))}


def views_of(segment: Segment, position: int, cameras: Sequence[str]) -> list[EncodedFrames]:
    """What each of ``cameras`` saw of an episode."""
    return [EncodedFrames(segment.images(position, camera)) for camera in cameras]


def watched_cameras(wanted: Sequence[str], cameras: Sequence[str]) -> Sequence[str]:
    """``wanted``, or the first of ``cameras`` for none. Raises `ConfigError` when one is not among them."""
    for camera in wanted:
        if camera not in cameras:
            raise ConfigError(f"There is no camera {camera!r} to detect events in; choose of {list(cameras)}.")
    return wanted or cameras[:1]


def read_scores(folders: Sequence[Path]) -> dict[str, NDArray[np.float32]]:
    """The scores ``[T]`` of every episode, from the folders `detect_event_boundaries` wrote."""
    scores: dict[str, NDArray[np.float32]] = {}
    for folder in folders:
        table = pq.read_table(folder / BOUNDARIES_FILE, schema=BOUNDARIES)
        episodes, starts = np.unique(table["episode"].to_numpy(zero_copy_only=False), return_index=True)
        order = np.argsort(starts)
        parts = np.split(table["score"].to_numpy(), starts[order][1:])
        scores.update(zip(episodes[order].tolist(), parts, strict=True) if len(table) else ())
    return scores
