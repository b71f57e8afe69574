"""Stage: decode episodes into a segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoder_process import Decode, DecoderProcess
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.reader import EpisodeReader, Opener, open_dataset
from dualvla_core.episodes.segment import SegmentWriter
from dualvla_core.episodes.video import Image
from dualvla_core.errors import ConfigError, EpisodeError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import frames_schema

_MAX_COLUMN_BYTES = 2**31 - 1  # what 32-bit offsets of one Arrow binary column can address


def decode_episodes(
    params: DecodeConfig,
    dataset: Path,
    embodiment: str | None,
    episodes: Mapping[str, int],
    output: Path,
    progress: Progress = silent,
    episode_timeout_s: float = 600.0,
    open_reader: Opener = open_dataset,
) -> Summary:
    """Write the segment of ``episodes``: ``frames.arrow``, ``episodes.parquet`` and ``skipped.parquet``.

    Decoding happens in a child process. An episode that cannot be decoded, crashes the decoder, takes longer than
    ``episode_timeout_s`` seconds or is no longer the one its digest names is listed as skipped; the others go on.

    Args:
        params: how frames are stored.
        dataset: the dataset's folder.
        embodiment: a known embodiment's name or a YAML file; none = by the dataset's robot type.
        episodes: the dataset's episode number by digest, in the segment's order.
        output: an empty folder.
        progress: told how many episodes are done.
        episode_timeout_s: the longest one episode may take, seconds.
        open_reader: opens the dataset, here and in the child process; it must be picklable.

    Raises:
        DatasetError: when the whole dataset cannot be read.
        ConfigError: when the embodiment does not fit or a camera is unknown.
    """
    reader = open_reader(dataset, embodiment)
    cameras = chosen_cameras(params, reader)
    factory = partial(_make_decode, open_reader, dataset, embodiment, params)
    decoded = frames = 0
    with (
        SegmentWriter(output, reader.embodiment, cameras) as segment,
        DecoderProcess(factory, episode_timeout_s) as process,
    ):
        for done, (digest, index) in enumerate(episodes.items()):
            progress(done, len(episodes))
            try:
                batch = process.decode(index, digest)
            except EpisodeError as error:
                segment.skip(index, digest, str(error))
                continue
            segment.append(batch, reader.fps)
            decoded, frames = decoded + 1, frames + batch.num_rows
            del batch  # or it would stay in memory beside the next episode
    progress(len(episodes), len(episodes))
    size = (output / "frames.arrow").stat().st_size
    return {"episodes": decoded, "frames": frames, "skipped": len(episodes) - decoded, "bytes": size}


def chosen_cameras(params: DecodeConfig, reader: EpisodeReader) -> list[str]:
    """The cameras to decode. Raises `ConfigError` when the dataset lacks one that is asked for."""
    cameras = list(params.cameras or reader.cameras)
    unknown = [camera for camera in cameras if camera not in reader.cameras]
    if unknown:
        raise ConfigError(f"The dataset has no camera {unknown[0]!r}; choose from {reader.cameras}.")
    return cameras


def encode_image(image: Image, params: DecodeConfig) -> bytes:
    """``[H, W, 3]`` RGB as JPEG, shrunk to ``params.image_size`` pixels on its longest side where it is larger."""
    longest = max(image.shape[:2])
    if params.image_size is not None and longest > params.image_size:
        height, width = (max(1, round(side * params.image_size / longest)) for side in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    _, encoded = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, params.jpeg_quality]
    )
    return encoded.tobytes()


def decode_episode(reader: EpisodeReader, params: DecodeConfig, index: int, digest: str) -> pa.RecordBatch:
    """One episode as `frames_schema`. Raises `EpisodeError`, also when it is not the episode ``digest`` names."""
    files = reader.files(index)
    before = _file_states(files)
    signals = reader.signals(index)
    packets = {camera: reader.packets(index, camera) for camera in reader.cameras}
    if episode_digest(signals, packets, reader.embodiment) != digest:
        raise EpisodeError("The episode is no longer the one that was scanned: it changed; scan the dataset again.")
    cameras = chosen_cameras(params, reader)
    images = [_encoded_frames(reader, params, index, camera, signals.num_rows) for camera in cameras]
    if _file_states(files) != before:
        raise EpisodeError("The episode's files changed while being read; scan the dataset again.")
    named = signals.set_column(0, signals.schema.field("episode"), [[digest] * signals.num_rows])
    columns = [column.combine_chunks() for column in named.columns] + images
    return pa.RecordBatch.from_arrays(columns, schema=frames_schema(cameras))


def _make_decode(open_reader: Opener, dataset: Path, embodiment: str | None, params: DecodeConfig) -> Decode:
    cv2.setNumThreads(1)  # one process per core is the plan
    return partial(decode_episode, open_reader(dataset, embodiment), params)


def _encoded_frames(reader: EpisodeReader, params: DecodeConfig, index: int, camera: str, length: int) -> pa.Array:
    images = bytearray()
    ends = [0]
    for image in reader.frames(index, camera):
        images += encode_image(image, params)
        ends.append(len(images))
    if len(ends) - 1 != length:
        raise EpisodeError(f"Camera {camera!r} gave {len(ends) - 1} frames for {length} rows.")
    offsets = np.asarray(ends)
    if offsets[-1] > _MAX_COLUMN_BYTES:
        raise EpisodeError(f"Camera {camera!r} has more than 2 GiB of images in one episode; set a smaller image_size.")
    # wrapped as they are: appending to an Arrow builder image by image costs 5 % of the decoding speed
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(images)]
    return pa.Array.from_buffers(pa.binary(), length, buffers)


def _file_states(files: Sequence[Path]) -> list[tuple[int, int]]:
    try:
        return [(state.st_size, state.st_mtime_ns) for state in (file.stat() for file in files)]
    except FileNotFoundError as error:
        raise EpisodeError("A file of the episode is missing; scan the dataset again.") from error
