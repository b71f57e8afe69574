"""How much room and time decoding will take, told before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoder_process import Decode, DecoderProcess
from dualvla_core.episodes.decoding import chosen_cameras, encode_image
from dualvla_core.episodes.reader import EpisodeReader, Opener, open_dataset
from dualvla_core.errors import ArtifactError, EpisodeError
from dualvla_core.schemas import SCAN, check_schema

_SAMPLE_FRAMES = 32
_TRIES = 3


@dataclass(frozen=True)
class Estimate:
    """What decoding is expected to take: ``bytes`` in the object store, ``seconds`` of one process."""

    bytes: int
    seconds: float


def estimate_decoding(
    dataset: Path,
    embodiment: str | None,
    scan: Path,
    episodes: Sequence[str],
    params: DecodeConfig,
    open_reader: Opener = open_dataset,
    patience_s: float = 60.0,
) -> Estimate | None:
    """Decode and encode up to 32 frames per camera of one episode of middle length and scale both up by frames.

    The sample is taken from the start of the episode, so it errs where scenes grow busier later on. Like all decoding
    it happens in a process of its own; where an episode cannot be sampled its neighbour in length is, and None is
    returned where three could not: decoding itself will say why.

    Args:
        dataset: the dataset's folder.
        embodiment: as given to the scan.
        scan: the scan's output folder.
        episodes: digests of the episodes to decode.
        params: how frames will be stored.
        open_reader: opens the dataset in the process; it must be picklable.
        patience_s: the longest one sample may take, seconds.

    Raises:
        ArtifactError: when an episode is not in the scan.
    """
    if not episodes:
        return Estimate(0, 0.0)
    table = pq.read_table(scan / "scan.parquet")
    check_schema(table.schema, SCAN, "scan.parquet")
    table = table.filter(pc.is_in(table["episode"], pa.array(set(episodes), pa.string()))).sort_by("length")
    if table.num_rows < len(set(episodes)):
        raise ArtifactError(f"The scan holds {table.num_rows} of the {len(set(episodes))} episodes; scan again.")
    middle = table.num_rows // 2
    nearest = sorted(range(table.num_rows), key=lambda row: abs(row - middle))[:_TRIES]
    with DecoderProcess(partial(_make_sample, open_reader, dataset, embodiment, params), patience_s) as process:
        for index in table["episode_index"].take(nearest).to_pylist():
            with suppress(EpisodeError):
                (sample,) = process.decode(index, "").to_pylist()
                frames = pc.sum(table["length"]).as_py()
                return Estimate(round(sample["bytes"] * frames), sample["seconds"] * frames)
    return None


def _make_sample(open_reader: Opener, dataset: Path, embodiment: str | None, params: DecodeConfig) -> Decode:
    cv2.setNumThreads(1)  # as decoding does
    return partial(_sample, open_reader(dataset, embodiment), params)


def _sample(reader: EpisodeReader, params: DecodeConfig, index: int, _digest: str) -> pa.RecordBatch:
    """What a frame of the episode takes: one row of ``bytes`` and ``seconds``."""
    signals = reader.signals(index)
    started = time.perf_counter()
    sizes = [
        [len(encode_image(image, params)) for image in islice(reader.frames(index, camera), _SAMPLE_FRAMES)]
        for camera in chosen_cameras(params, reader)
    ]
    seconds = (time.perf_counter() - started) / len(sizes[0])
    each = sum(map(sum, sizes)) / len(sizes[0]) + signals.nbytes / signals.num_rows
    return pa.RecordBatch.from_pylist([{"bytes": each, "seconds": seconds}])
