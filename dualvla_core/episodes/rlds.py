"""Reading RLDS datasets as TFDS writes them: one TFRecord record an episode, without TensorFlow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa

from dualvla_core.episodes.canonical import EpisodeFacts, canonical_signals, relative_times
from dualvla_core.episodes.embodiment import match_embodiment
from dualvla_core.episodes.images import decode_image
from dualvla_core.episodes.rlds_features import Feature, blobs, column, read_features, texts
from dualvla_core.episodes.tfrecord import RecordSpan, read_example, record_spans
from dualvla_core.episodes.video import Image
from dualvla_core.errors import ConfigError, DatasetError, EpisodeError

_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


@dataclass(frozen=True)
class Record:
    """Where one episode lies: ``number`` counts the records of its shard file from 0."""

    split: str
    file: Path
    number: int
    span: RecordSpan


@dataclass(frozen=True)
class _Split:
    """A split: the episodes of each of its shards, and how their files are named."""

    name: str
    lengths: list[int]
    template: str


@dataclass(frozen=True)
class _Info:
    """What we use of ``dataset_info.json``."""

    name: str
    version: str
    splits: list[_Split]


def open_rlds(root: Path, embodiment: str | None = None) -> RldsReader:
    """A reader of the TFDS dataset in or below ``root``. Raises `DatasetError` or `ConfigError`."""
    folders = sorted(
        file.parent for file in root.rglob("dataset_info.json") if (file.parent / "features.json").is_file()
    )
    if not folders:
        raise DatasetError(f"{root} has .tfrecord files but no dataset_info.json beside a features.json; restore them.")
    if len(folders) > 1:
        names = [folder.relative_to(root).as_posix() for folder in folders]
        raise DatasetError(f"{root} holds {len(folders)} RLDS datasets ({', '.join(names)}); give the folder of one.")
    return RldsReader(root, folders[0], embodiment)


class RldsReader:
    """An `EpisodeReader` of an RLDS dataset; it keeps the record asked for last.

    The episodes of all splits are numbered one after the other. Ends are where records end: ``is_last`` is not relied
    on, for many datasets never set it, and the last action is kept as it was stored. The frame rate is the robot's
    (`Embodiment.control_hz`), since RLDS records none.
    """

    def __init__(self, root: Path, folder: Path, embodiment: str | None) -> None:
        self._root = root
        self._features = read_features(folder / "features.json")
        info = _dataset_info(folder)
        self.warnings: list[str] = []
        self._records = list(self._find_records(folder, info))
        self._last: tuple[int, Any] | None = None
        self.name = root.name
        self.layout = f"RLDS (TFDS {info.version})"
        self.robot_type: str | None = info.name
        in_steps = [feature for feature in self._features.values() if feature.sequences == 1]
        widths = {feature.name: feature.width for feature in in_steps if feature.width}
        self.embodiment = match_embodiment(self.robot_type, widths, embodiment)
        if self.embodiment.control_hz is None:
            raise ConfigError(
                f"RLDS records no frame rate and the embodiment {self.embodiment.name!r} gives none; describe the "
                "robot in an embodiment file with its control_hz."
            )
        self.fps = self.embodiment.control_hz
        self.tasks: Mapping[int, str] = {}
        self._images = {feature.name: feature for feature in self._features.values() if _is_camera(feature)}
        self.cameras = sorted(self._images)
        if not self.cameras:
            raise DatasetError("features.json declares no colour images in its steps; there is nothing to look at.")
        self.warnings += [
            f"The depth map {feature.name!r} is not read."
            for feature in in_steps
            if feature.kind == "image" and not _is_camera(feature)
        ]
        if any(name not in widths for name in self.embodiment.action_columns):
            self.warnings.append(
                f"There is no column {self.embodiment.action_column!r}; episodes are read without actions."
            )

    def _find_records(self, folder: Path, info: _Info) -> Iterator[Record]:
        for split in info.splits:
            for shard, length in enumerate(split.lengths):
                place = f"{shard:05d}-of-{len(split.lengths):05d}"
                file = folder / split.template.format(
                    DATASET=info.name, SPLIT=split.name, FILEFORMAT="tfrecord", SHARD_X_OF_Y=place
                )
                found = self._spans(file, length)
                for number, span in enumerate(found):
                    yield Record(split.name, file, number, span)
                if len(found) != length:
                    self.warnings.append(
                        f"dataset_info.json counts {length} episodes in {file.name}, it holds {len(found)}; these are "
                        "read."
                    )

    @staticmethod
    def _spans(file: Path, length: int) -> list[RecordSpan]:
        if not file.is_file():
            return [RecordSpan(0, 0, f"The file {file.name} is missing.")] * length
        return list(record_spans(file))

    def episode_indices(self) -> list[int]:
        """All records, split after split."""
        return list(range(len(self._records)))

    def record(self, index: int) -> Mapping[str, Any]:
        """Where the episode lies, and a digest of how its fields are read."""
        record = self._records[index]
        read = hashlib.sha256(repr(sorted(self._features.items())).encode()).hexdigest()
        return {"split": record.split, "number": record.number, "features": read}

    def files(self, index: int) -> list[Path]:
        """The shard file."""
        return [self._records[index].file]

    def share(self, index: int, file: Path) -> float:
        """The record's part of the bytes of its shard."""
        return self._records[index].span.length / max(file.stat().st_size, 1)

    def signals(self, index: int) -> pa.Table:
        """See `EpisodeReader.signals`."""
        example, length = self._example(index), self._length(index)
        wanted = [*self.embodiment.columns, *self.embodiment.action_columns]
        columns = {name: column(example, self._features[name]) for name in wanted if name in self._features}
        uneven = {name: len(values) for name, values in columns.items() if len(values) != length}
        if uneven:
            raise EpisodeError(f"The episode has {length} images, but rows per column {uneven}.", about="counts")
        times = relative_times(None, self.fps, length)
        return canonical_signals(pa.table(columns), self.embodiment, times, self._instructions(index), None)

    def _example(self, index: int) -> Any:
        if self._last is None or self._last[0] != index:
            record = self._records[index]
            self._last = (index, read_example(record.file, record.span))
        return self._last[1]

    def _length(self, index: int) -> int:
        counts = {camera: len(blobs(self._example(index), feature)) for camera, feature in self._images.items()}
        if len(set(counts.values())) > 1:
            raise EpisodeError(f"The cameras have different numbers of images: {counts}.", about="counts")
        return next(iter(counts.values()))

    def _instructions(self, index: int) -> list[str]:
        """The instruction of each step: a step's own, else the episode's; empty where nothing was said."""
        length = self._length(index)
        for feature in sorted(self._features.values(), key=lambda feature: (-feature.sequences, feature.key)):
            if feature.kind == "text" and feature.key.endswith("language_instruction") and feature.sequences < 2:
                said = texts(self._example(index), feature)
                said = said * length if feature.sequences == 0 else said
                if len(said) != length:
                    raise EpisodeError(f"{feature.key!r} has {len(said)} texts for {length} steps.", about="language")
                if any(said):
                    return said
        return [""] * length

    def facts(self, index: int) -> EpisodeFacts:
        """Length and words of the episode; the source is what ``episode_metadata`` says, else where the record lies."""
        record, instructions = self._records[index], self._instructions(index)
        return EpisodeFacts(
            length=len(instructions),
            task=instructions[0],
            instruction=instructions[0],
            initial_condition=None,
            source_file=self._metadata(index, "file_path") or record.file.relative_to(self._root).as_posix(),
            source_id=self._metadata(index, "episode_id") or str(record.number),
        )

    def _metadata(self, index: int, name: str) -> str | None:
        feature = self._features.get(f"episode_metadata.{name}")
        if feature is None or feature.sequences:
            return None
        values = (
            texts(self._example(index), feature)
            if feature.kind == "text"
            else column(self._example(index), feature).combine_chunks().flatten().to_pylist()
        )
        return str(values[0]) if values else None

    def packets(self, index: int, camera: str) -> Iterator[tuple[float, bytes]]:
        """See `EpisodeReader.packets`; every encoded image is a packet of its own."""
        images = blobs(self._example(index), self._images[camera])
        return zip(relative_times(None, self.fps, len(images)).tolist(), images, strict=True)

    def frames(self, index: int, camera: str) -> Iterator[Image]:
        """See `EpisodeReader.frames`."""
        return map(decode_image, blobs(self._example(index), self._images[camera]), repeat(camera))


def _is_camera(feature: Feature) -> bool:
    return (
        feature.kind == "image" and feature.sequences == 1 and feature.dtype == "uint8" and feature.shape[-1:] == (3,)
    )


def _dataset_info(folder: Path) -> _Info:
    try:
        info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))
        splits = [
            _Split(
                str(split["name"]), [int(n) for n in split["shardLengths"]], split.get("filepathTemplate") or _TEMPLATE
            )
            for split in info["splits"]
        ]
        found = _Info(str(info["name"]), str(info.get("version")), splits)
        file_format = str(info.get("fileFormat") or "tfrecord")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError("dataset_info.json does not list name, splits and shardLengths; restore it.") from error
    if file_format != "tfrecord":
        raise DatasetError(f"The RLDS dataset lies in {file_format} files; this version reads tfrecord.")
    return found
