"""RLDS datasets written byte by byte, with an encoder of its own: independent of what reads them."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import google_crc32c
import numpy as np


def varint(number: int) -> bytes:
    number &= 2**64 - 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def delimited(field: int, data: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(data)) + data


def feature(values: Sequence[bytes] | np.ndarray) -> bytes:
    """A `tf.train.Feature`: byte strings, floats (packed) or integers (packed)."""
    if not isinstance(values, np.ndarray):
        return delimited(1, b"".join(delimited(1, value) for value in values))
    if values.dtype.kind == "f":
        return delimited(2, delimited(1, values.astype("<f4").tobytes()))
    return delimited(3, delimited(1, b"".join(varint(int(value)) for value in values.reshape(-1))))


def example(features: Mapping[str, Any]) -> bytes:
    entries = [delimited(1, delimited(1, key.encode()) + delimited(2, feature(v))) for key, v in features.items()]
    return delimited(1, b"".join(entries))


def masked(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def framed(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def tensor(*shape: int | None, dtype: str = "float32", encoding: str = "none") -> dict[str, Any]:
    dimensions = [str(-1 if size is None else size) for size in shape]
    return {"tensor": {"shape": {"dimensions": dimensions}, "dtype": dtype, "encoding": encoding}}


def image(channels: int = 3, dtype: str = "uint8") -> dict[str, Any]:
    return {"image": {"shape": {"dimensions": ["-1", "-1", str(channels)]}, "dtype": dtype}}


TEXT: dict[str, Any] = {"text": {}}


def sequence(inner: Mapping[str, Any]) -> dict[str, Any]:
    return {"sequence": {"feature": inner}}


def features_dict(features: Mapping[str, Any]) -> dict[str, Any]:
    """Nested by ``/`` in the names, as TFDS nests them."""
    tree: dict[str, Any] = {}
    for name, node in features.items():
        head, _, rest = name.partition("/")
        if rest:
            tree.setdefault(head, {})[rest] = node
        else:
            tree[head] = node
    leaves = {"tensor", "image", "text", "sequence", "audio"}
    nested = {key: node if leaves & node.keys() else features_dict(node) for key, node in tree.items()}
    return {"featuresDict": {"features": nested}}


STEPS: dict[str, Any] = {
    "observation/state": tensor(7),
    "observation/image_0": image(),
    "action": tensor(7),
    "language_instruction": TEXT,
    "is_last": tensor(dtype="bool"),
}


def jpegs(images: Sequence[np.ndarray]) -> list[bytes]:
    """RGB images as JPEG of quality 95."""
    return [cv2.imencode(".jpg", each[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes() for each in images]


def episode(length: int = 4, seed: int = 0, text: str = "open the drawer", **changes: Any) -> dict[str, Any]:
    """The features of an episode by their names below ``steps/`` (or in full); None leaves one out."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (length, 1, 1, 3), np.uint8).repeat(16, 1).repeat(24, 2)
    found = {
        "steps/observation/state": rng.normal(size=(length, 7)).astype(np.float32),
        "steps/observation/image_0": jpegs(images),
        "steps/action": rng.normal(size=(length, 7)).astype(np.float32),
        "steps/language_instruction": [text.encode()] * length,
        "steps/is_last": np.zeros(length, np.int64),
        **{name if "/" in name else f"steps/{name}": value for name, value in changes.items()},
    }
    return {name: value for name, value in found.items() if value is not None}


def write_rlds(
    root: Path,
    splits: Mapping[str, Sequence[Mapping[str, Any]]],
    name: str = "bridge_dataset",
    steps: Mapping[str, Any] | None = None,
    top: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Path:
    """``root/<name>/1.0.0`` with a shard a split; ``steps`` adds to `STEPS` (None: leaves out); returns ``root``."""
    folder = root / name / "1.0.0"
    folder.mkdir(parents=True)
    listed = []
    for split, episodes in splits.items():
        data = b"".join(framed(example(each)) for each in episodes)
        (folder / f"{name}-{split}.tfrecord-00000-of-00001").write_bytes(data)
        listed.append({"name": split, "shardLengths": [str(len(episodes))]})
    declared = {key: node for key, node in {**STEPS, **(steps or {})}.items() if node is not None}
    tree = features_dict({"steps": sequence(features_dict(declared)), **(top or {})})
    (folder / "features.json").write_text(json.dumps(tree))
    described = {"name": name, "version": "1.0.0", "fileFormat": "tfrecord", "splits": listed, **(info or {})}
    (folder / "dataset_info.json").write_text(json.dumps(described))
    return root
