"""Multimodal shards: visual questions with answers, from the conversation files vision-language models are tuned on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.splits import splits_of
from dualvla_core.errors import EpisodeError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import MULTIMODAL
from dualvla_core.shards.config import MultimodalConfig
from dualvla_core.shards.conversations import Images, conversation_files, open_images, read_conversations, rows_of
from dualvla_core.shards.question_tables import TABLE_SUFFIX, read_question_table

SKIPPED_SAMPLES = pa.schema(
    [
        pa.field("position", pa.int64(), False),  # in the list of conversations, from 0
        pa.field("sample", pa.string()),  # its id; null when it has none
        pa.field("reason", pa.string(), False),
    ]
)
"""Every sample that was left out, with the sentence that says why."""

_BATCH = 256  # questions a record batch


def build_multimodal_shard(
    params: MultimodalConfig, source: Path, output: Path, progress: Progress = silent, images: Path | None = None
) -> Summary:
    """Write ``multimodal.arrow`` (`schemas.MULTIMODAL`) and ``skipped.parquet`` (`SKIPPED_SAMPLES`) from ``source``.

    ``source`` is a JSON file, or a folder with ``conversations.json``: a list of ``{image, conversations: [{from:
    "human", value}, {from: "gpt", value}, ...]}``, optionally with ``id``, ``category`` and ``split``. ``images`` is a
    folder or tar; by default the folder ``images`` beside the JSON. Every question with its answer is a row. JPEG files
    are stored as they are, others are converted. A source that ends in ``.tsv`` is a benchmark's table with its images.

    Raises `DatasetError` when there is no such list or no such place; a single bad sample is left out and listed with
    the reason.
    """
    items, stored = _read(source, images)
    skipped: list[dict[str, Any]] = []
    questions = 0
    with pa.ipc.new_file(str(output / "multimodal.arrow"), MULTIMODAL) as writer:
        rows: list[dict[str, Any]] = []
        for row in _samples(items, stored, params, skipped, progress):
            rows.append(row)
            questions += 1
            if len(rows) == _BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, MULTIMODAL))
                rows = []
        if rows:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, MULTIMODAL))
    table = pa.Table.from_pylist(skipped, SKIPPED_SAMPLES)
    pq.write_table(table, output / "skipped.parquet", compression="zstd")
    return {"samples": len(items), "questions": questions, "skipped": len(skipped)}


def _read(source: Path, images: Path | None) -> tuple[list[Any], Images]:
    if source.suffix == TABLE_SUFFIX:
        return read_question_table(source)
    conversations, place = conversation_files(source, images)
    return read_conversations(conversations), open_images(place)


def _samples(
    items: list[Any], images: Images, params: MultimodalConfig, skipped: list[dict[str, Any]], progress: Progress
) -> Iterator[dict[str, Any]]:
    """The questions of usable samples as rows; the other samples are appended to ``skipped``."""
    seen: set[str] = set()
    unsplit = (str(item.get("image")) for item in items if isinstance(item, dict) and "split" not in item)
    splits = splits_of(unsplit, params.held_out_fraction)
    for position, item in enumerate(items):
        try:
            rows = list(rows_of(item, position, images, splits))
            if rows[0]["sample"] in seen:
                raise EpisodeError("an earlier sample has the same id")  # noqa: TRY301 - a reason like the others
            image = _jpeg(rows[0]["image"], str(item["image"]), params.jpeg_quality)
        except EpisodeError as error:
            name = item.get("id") if isinstance(item, dict) else None
            skipped.append({"position": position, "sample": None if name is None else str(name), "reason": str(error)})
        else:
            seen.add(rows[0]["sample"])
            yield from ({**row, "image": image} for row in rows)
        progress(position + 1, len(items))


def _jpeg(content: bytes, name: str, quality: int) -> bytes:
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if pixels is None:
        raise EpisodeError(f"the image {name!r} cannot be decoded")
    if content.startswith(b"\xff\xd8"):
        return content
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
