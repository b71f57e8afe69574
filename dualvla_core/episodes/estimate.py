"""How much room and time decoding will take, told before it starts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.episodes.config import DecodeConfig
from dualvla_core.episodes.decoding import chosen_cameras, encode_image
from dualvla_core.episodes.reader import open_dataset
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import SCAN, check_schema

_SAMPLE_FRAMES = 32


@dataclass(frozen=True)
class Estimate:
    """What decoding is expected to take: ``bytes`` in the object store, ``seconds`` of one process."""

    bytes: int
    seconds: float


def estimate_decoding(
    dataset: Path, embodiment: str | None, scan: Path, episodes: Sequence[str], params: DecodeConfig
) -> Estimate:
    """Decode and encode up to 32 frames per camera of one episode of middle length and scale both up by frames.

    The sample is taken from the start of the episode, so it errs where scenes grow busier later on.

    Args:
        dataset: the dataset's folder.
        embodiment: as given to the scan.
        scan: the scan's output folder.
        episodes: digests of the episodes to decode.
        params: how frames will be stored.

    Raises:
        ArtifactError: when an episode is not in the scan.
        EpisodeError: when the sampled episode cannot be read.
    """
    if not episodes:
        return Estimate(0, 0.0)
    table = pq.read_table(scan / "scan.parquet")
    check_schema(table.schema, SCAN, "scan.parquet")
    table = table.filter(pc.is_in(table["episode"], pa.array(set(episodes), pa.string()))).sort_by("length")
    if table.num_rows < len(set(episodes)):
        raise ArtifactError(f"The scan holds {table.num_rows} of the {len(set(episodes))} episodes; scan again.")
    index = table["episode_index"][table.num_rows // 2].as_py()
    reader = open_dataset(dataset, embodiment)
    signals = reader.signals(index)
    started = time.perf_counter()
    sample = [
        [len(encode_image(image, params)) for image in islice(reader.frames(index, camera), _SAMPLE_FRAMES)]
        for camera in chosen_cameras(params, reader)
    ]
    seconds = time.perf_counter() - started
    sampled = len(sample[0])
    per_frame = sum(map(sum, sample)) / sampled + signals.nbytes / signals.num_rows
    frames = pc.sum(table["length"]).as_py()
    return Estimate(round(per_frame * frames), seconds / sampled * frames)
