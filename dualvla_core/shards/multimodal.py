"""Multimodal shards: visual questions with answers, from the conversation files vision-language models are tuned on."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import DatasetError, EpisodeError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import MULTIMODAL
from dualvla_core.shards.config import MultimodalConfig

CONVERSATIONS_FILE = "conversations.json"
IMAGE_FOLDER = "images"
IMAGE_TOKEN = "<image>"
SPLITS = ("train", "held_out")
SKIPPED_SAMPLES = pa.schema(
    [
        pa.field("position", pa.int64(), False),  # in conversations.json, from 0
        pa.field("sample", pa.string()),  # its id; null when it has none
        pa.field("reason", pa.string(), False),
    ]
)
"""Every sample that was left out, with the sentence that says why."""

_BATCH = 256  # samples a record batch


def build_multimodal_shard(
    params: MultimodalConfig, source: Path, output: Path, progress: Progress = silent
) -> Summary:
    """Write ``multimodal.arrow`` (`schemas.MULTIMODAL`) and ``skipped.parquet`` (`SKIPPED_SAMPLES`) from ``source``.

    ``source`` holds ``conversations.json``, a list of ``{id, image, split, category, conversations: [{from: "human",
    value}, {from: "gpt", value}]}``, and the images in ``images/``. JPEG files are stored as they are, others are
    converted.

    Raises `DatasetError` when there is no such list; a single bad sample is left out and listed with the reason.
    """
    items = _read_items(source / CONVERSATIONS_FILE)
    skipped: list[dict[str, Any]] = []
    kept = 0
    with pa.ipc.new_file(str(output / "multimodal.arrow"), MULTIMODAL) as writer:
        rows: list[dict[str, Any]] = []
        for row in _samples(items, source / IMAGE_FOLDER, params, skipped, progress):
            rows.append(row)
            kept += 1
            if len(rows) == _BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, MULTIMODAL))
                rows = []
        if rows:
            writer.write_batch(pa.RecordBatch.from_pylist(rows, MULTIMODAL))
    table = pa.Table.from_pylist(skipped, SKIPPED_SAMPLES)
    pq.write_table(table, output / "skipped.parquet", compression="zstd")
    return {"samples": len(items), "kept": kept, "skipped": len(skipped)}


def _read_items(path: Path) -> list[Any]:
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(
            f"There is no {path.name} in {path.parent.name}; expected one beside {IMAGE_FOLDER}/."
        ) from None
    except ValueError as error:
        raise DatasetError(f"{path.name} is not JSON ({error}); expected a list of conversations.") from error
    if not isinstance(items, list):
        raise DatasetError(f"{path.name} holds a {type(items).__name__}; expected a list of conversations.")
    return items


def _samples(
    items: list[Any], images: Path, params: MultimodalConfig, skipped: list[dict[str, Any]], progress: Progress
) -> Iterator[dict[str, Any]]:
    """The usable samples as rows; the others are appended to ``skipped``."""
    seen: set[str] = set()
    for position, item in enumerate(items):
        try:
            row = _sample(item, images, params, seen)
        except EpisodeError as error:
            name = item.get("id") if isinstance(item, dict) else None
            skipped.append({"position": position, "sample": None if name is None else str(name), "reason": str(error)})
        else:
            seen.add(row["sample"])
            yield row
        progress(position + 1, len(items))


def _sample(item: Any, images: Path, params: MultimodalConfig, seen: Container[str]) -> dict[str, Any]:
    """One row of the shard, not named as those ``seen``. Raises `EpisodeError` saying what is wrong with ``item``."""
    if not isinstance(item, dict):
        raise EpisodeError(f"the sample is a {type(item).__name__}, expected an object")
    texts = {key: item.get(key) for key in ("id", "image", "split", "category")}
    wrong = [key for key, value in texts.items() if not isinstance(value, str) or not value]
    if wrong:
        raise EpisodeError(f"{', '.join(wrong)} should be text and not empty")
    if texts["id"] in seen:
        raise EpisodeError("an earlier sample has the same id")
    if texts["split"] not in SPLITS:
        raise EpisodeError(f"the split is {texts['split']!r}, expected one of {', '.join(SPLITS)}")
    question, answer = _turns(item.get("conversations"))
    return {
        "sample": texts["id"],
        "image": _jpeg(images, str(texts["image"]), params.jpeg_quality),
        "question": question,
        "answer": answer,
        "category": texts["category"],
        "split": texts["split"],
    }


def _turns(turns: Any) -> tuple[str, str]:
    speakers = (
        [turn.get("from") if isinstance(turn, dict) else None for turn in turns] if isinstance(turns, list) else None
    )
    if speakers != ["human", "gpt"]:
        raise EpisodeError(f"the conversation goes {speakers}, expected one human and one gpt turn")
    texts = [str(turn.get("value") or "").replace(IMAGE_TOKEN, "").strip() for turn in turns]
    if not all(texts):
        raise EpisodeError("the question or the answer is empty")
    return texts[0], texts[1]


def _jpeg(images: Path, name: str, quality: int) -> bytes:
    path = images / name.removeprefix(f"{IMAGE_FOLDER}/")
    if not path.resolve().is_relative_to(images.resolve()):
        raise EpisodeError(f"the image {name!r} lies outside {IMAGE_FOLDER}/")
    try:
        content = path.read_bytes()
    except OSError:
        raise EpisodeError(f"the image {name!r} is missing") from None
    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if pixels is None:
        raise EpisodeError(f"the image {name!r} cannot be decoded")
    if content.startswith(b"\xff\xd8"):
        return content
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
