"""What the fields of an RLDS episode are, by TFDS's ``features.json``, and their values in a record."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dualvla_core.errors import DatasetError, EpisodeError

Kind: TypeAlias = Literal["image", "text", "number"]
Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Feature:
    """One leaf of ``features.json``.

    ``key`` is its name in a record, ``name`` our column (``steps/observation/state`` is ``observation.state``);
    ``sequences`` counts what it is repeated over: 0 for the episode, 1 for its steps, more for lists within a step.
    """

    key: str
    kind: Kind
    dtype: str
    shape: tuple[int | None, ...]
    encoding: str
    sequences: int

    @property
    def name(self) -> str:
        """The column."""
        return self.key.removeprefix("steps/").replace("/", ".")

    @property
    def width(self) -> int | None:
        """Numbers per step (or in all, outside of the steps); None where this differs or there are none."""
        sizes = [size for size in self.shape if size is not None]
        return prod(sizes) if self.kind == "number" and self.sequences < 2 and len(sizes) == len(self.shape) else None


def read_features(path: Path) -> dict[str, Feature]:
    """The leaves of a ``features.json`` by column. Raises `DatasetError` when it describes no RLDS dataset."""
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        found = {feature.name: feature for feature in _leaves(tree, "", 0)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path.name} of the TFDS dataset is missing or not readable; restore it.") from error
    if not any(feature.key.startswith("steps/") and feature.sequences == 1 for feature in found.values()):
        raise DatasetError(f"{path.name} describes no 'steps': a TFDS dataset, but none of demonstrations in RLDS.")
    return found


def _leaves(node: Mapping[str, Any], key: str, sequences: int) -> Iterator[Feature]:
    """Leaves that are images, texts or numbers; others (audio, bounding boxes) are not ours to read."""
    if "featuresDict" in node:
        for name, child in node["featuresDict"]["features"].items():
            yield from _leaves(child, f"{key}/{name}" if key else name, sequences)
    elif "sequence" in node:
        yield from _leaves(node["sequence"]["feature"], key, sequences + 1)
    elif "image" in node:
        image = node["image"]
        yield Feature(key, "image", str(image.get("dtype", "uint8")), _shape(image), "", sequences)
    elif "text" in node:
        yield Feature(key, "text", "string", (), "", sequences)
    elif "classLabel" in node:
        yield Feature(key, "number", "int64", (), "", sequences)
    elif "tensor" in node:
        tensor = node["tensor"]
        dtype = str(tensor["dtype"])
        kind: Kind = "text" if dtype in ("string", "object") else "number"
        yield Feature(key, kind, dtype, _shape(tensor), str(tensor.get("encoding", "none")).lower(), sequences)


def _shape(described: Mapping[str, Any]) -> tuple[int | None, ...]:
    sizes = [int(size) for size in described.get("shape", {}).get("dimensions", [])]
    return tuple(None if size < 0 else size for size in sizes)


def texts(example: Any, feature: Feature) -> list[str]:
    """The texts of a record, one a step (or one in all). Raises `EpisodeError` when they are missing or no UTF-8."""
    try:
        return [bytes(value).decode() for value in blobs(example, feature)]
    except UnicodeDecodeError as error:
        raise EpisodeError(f"The text {feature.key!r} is not UTF-8.", about="language") from error


def blobs(example: Any, feature: Feature) -> list[bytes]:
    """The byte strings of a record: texts, or encoded images."""
    if feature.key not in example:
        raise EpisodeError(f"The record lacks {feature.key!r}, which features.json declares.")
    return list(example[feature.key].bytes_list.value)


def column(example: Any, feature: Feature) -> pa.ChunkedArray:
    """A list column with a row per step, ragged where the steps differ. Raises `EpisodeError` where it does not fit."""
    ragged = f"{feature.key}/ragged_flat_values"
    values = _numbers(example, ragged if ragged in example else feature.key, feature)
    each = prod(size or 1 for size in feature.shape)
    if values.size % each:
        raise EpisodeError(f"{feature.key!r} holds {values.size} numbers, not a multiple of its shape {feature.shape}.")
    is_ragged = feature.width is None
    lengths = _row_lengths(example, feature) if is_ragged else np.ones(values.size // each, np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths * each)])
    if offsets[-1] != values.size:
        raise EpisodeError(f"{feature.key!r} holds {values.size} numbers, its row lengths add up to {offsets[-1]}.")
    return pa.chunked_array([pa.ListArray.from_arrays(offsets.astype(np.int32), pa.array(values))])


def _row_lengths(example: Any, feature: Feature) -> Ints:
    """Values per step; of lists within lists, the inner ones are added up."""
    levels: list[Ints] = []
    while (key := f"{feature.key}/ragged_row_lengths_{len(levels)}") in example:
        levels.append(np.array(example[key].int64_list.value, np.int64))
    if not levels:
        raise EpisodeError(f"{feature.key!r} is ragged, but the record holds no row lengths of it.")
    lengths = levels.pop()
    for outer in reversed(levels):
        ends = np.concatenate([[0], np.cumsum(lengths)])
        stops = np.cumsum(outer)
        if stops.size and stops[-1] != lengths.size:
            raise EpisodeError(f"The row lengths of {feature.key!r} contradict each other.")
        lengths = ends[stops] - ends[stops - outer]
    return lengths


def _numbers(example: Any, key: str, feature: Feature) -> npt.NDArray[Any]:
    if key not in example:
        raise EpisodeError(f"The record lacks {feature.key!r}, which features.json declares.")
    found = example[key]
    if found.bytes_list.value and feature.encoding in ("bytes", "zlib"):
        try:
            parts = [zlib.decompress(part) if feature.encoding == "zlib" else part for part in found.bytes_list.value]
            return np.frombuffer(b"".join(parts), np.dtype(feature.dtype).newbyteorder("<"))
        except (zlib.error, TypeError, ValueError) as error:
            raise EpisodeError(f"{feature.key!r} cannot be read as {feature.dtype} in {feature.encoding}.") from error
    if found.float_list.value:
        return np.array(found.float_list.value, np.float32)
    return np.array(found.int64_list.value, np.int64)  # integers and booleans
