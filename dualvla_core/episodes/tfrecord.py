"""TFRecord files and the `tf.train.Example` messages in them, read without TensorFlow."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from dualvla_core.errors import EpisodeError

_HEADER = struct.Struct("<QI")  # length of the data, masked checksum of the length's eight bytes
_CHECKSUM = struct.Struct("<I")
_MASK_DELTA = 0xA282EAD8


@dataclass(frozen=True)
class RecordSpan:
    """Where a record's data lies in its file; ``problem`` says why it, and all behind it, cannot be read."""

    start: int
    length: int
    problem: str | None = None


def record_spans(path: Path) -> Iterator[RecordSpan]:
    """The records of a file in order, found by their headers alone; the last one may be broken."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = 0
        while start < size:
            stream.seek(start)
            header = stream.read(_HEADER.size)
            if len(header) < _HEADER.size:
                yield RecordSpan(start, 0, f"{path.name} is cut short at byte {start}; fetch it again.")
                return
            length, checksum = _HEADER.unpack(header)
            if masked_crc32c(header[:8]) != checksum:
                yield RecordSpan(start, 0, f"{path.name} has a wrong checksum at byte {start}; fetch it again.")
                return
            end = start + _HEADER.size + length + _CHECKSUM.size
            if end > size:
                yield RecordSpan(start, 0, f"{path.name} is cut short inside a record at byte {start}; fetch it again.")
                return
            yield RecordSpan(start + _HEADER.size, length)
            start = end


def read_example(path: Path, span: RecordSpan) -> Any:
    """The `tf.train.Example` of a record as a map from feature names to features.

    Raises `EpisodeError` when the record is broken or its checksum does not hold.
    """
    if span.problem:
        raise EpisodeError(span.problem)
    with path.open("rb") as stream:
        stream.seek(span.start)
        data = stream.read(span.length)
        checksum = stream.read(_CHECKSUM.size)
    if checksum != _CHECKSUM.pack(masked_crc32c(data)):
        raise EpisodeError(f"{path.name} has a wrong checksum in the record at byte {span.start}; fetch it again.")
    message = _example_class()()
    try:
        message.ParseFromString(data)
    except DecodeError as error:
        raise EpisodeError(f"The record at byte {span.start} of {path.name} is no tf.train.Example.") from error
    return message.features.feature


def masked_crc32c(data: bytes) -> int:
    """The checksum of TFRecord: CRC-32C rotated right by 15 bits, plus a constant."""
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


@cache
def _example_class() -> Any:
    """The message class of `tf.train.Example`, from a description of its fields on the wire."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="dualvla/example.proto", package="dualvla", syntax="proto3")

    def message(name: str, parent: Any = file.message_type) -> Any:
        described = parent.add()
        described.name = name
        return described

    def add(to: Any, name: str, number: int, kind: int, type_name: str | None = None, repeated: bool = False) -> None:
        label = field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL
        to.field.add(name=name, number=number, type=kind, type_name=type_name, label=label)

    for name, kind in (
        ("BytesList", field_type.TYPE_BYTES),
        ("FloatList", field_type.TYPE_FLOAT),
        ("Int64List", field_type.TYPE_INT64),
    ):
        add(message(name), "value", 1, kind, repeated=True)
    feature = message("Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), start=1):
        add(feature, name.replace("List", "_list").lower(), number, field_type.TYPE_MESSAGE, f".dualvla.{name}")
        feature.field[-1].oneof_index = 0
    features = message("Features")
    entry = message("FeatureEntry", features.nested_type)
    entry.options.map_entry = True
    add(entry, "key", 1, field_type.TYPE_STRING)
    add(entry, "value", 2, field_type.TYPE_MESSAGE, ".dualvla.Feature")
    add(features, "feature", 1, field_type.TYPE_MESSAGE, ".dualvla.Features.FeatureEntry", repeated=True)
    add(message("Example"), "features", 1, field_type.TYPE_MESSAGE, ".dualvla.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("dualvla.Example"))
