"""Reading LeRobot datasets, v2.0 to v3.x, from a local folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.episodes.canonical import EpisodeFacts, Float64s, canonical_signals, matrix, relative_times
from dualvla_core.episodes.embodiment import match_embodiment
from dualvla_core.episodes.images import decode_image
from dualvla_core.episodes.language import EVENTS, PERSISTENT, frame_reasoning
from dualvla_core.episodes.lerobot_layout import Info, Layout, LayoutV2, LayoutV3, read_info
from dualvla_core.episodes.video import Image, align, decode, packets, presentation_times
from dualvla_core.errors import DatasetError, EpisodeError

_ROW_KEYS = ("episode_index", "frame_index")


def open_lerobot_v2(root: Path, embodiment: str | None = None) -> LeRobotReader:
    """A reader of a LeRobot v2.0 or v2.1 dataset. Raises `DatasetError` or `ConfigError`."""
    info = read_info(root)
    return LeRobotReader(root, info, LayoutV2(root, info), embodiment)


def open_lerobot_v3(root: Path, embodiment: str | None = None) -> LeRobotReader:
    """A reader of a LeRobot v3.x dataset. Raises `DatasetError` or `ConfigError`."""
    info = read_info(root)
    return LeRobotReader(root, info, LayoutV3(root, info), embodiment)


class LeRobotReader:
    """An `EpisodeReader` of a LeRobot dataset; it keeps the rows of the episode asked for last."""

    def __init__(self, root: Path, info: Info, layout: Layout, embodiment: str | None) -> None:
        self._root = root
        self._info = info
        self._layout = layout
        self._last: tuple[int, pa.Table] | None = None
        self._lengths: dict[Path, int] | None = None
        self.name = root.name
        self.layout = f"LeRobot {info.version}"
        self.robot_type = info.robot_type
        self.fps = info.fps
        self.tasks: Mapping[int, str] = layout.tasks
        self.embodiment = match_embodiment(info.robot_type, info.widths, embodiment)
        self.cameras = [camera for camera in info.cameras if self._has_files(camera)]
        if not self.cameras:
            raise DatasetError(f"No camera of the dataset has any images (declared: {info.cameras}).")
        self.warnings = [*layout.warnings, *self._disagreements()]

    def _has_files(self, camera: str) -> bool:
        """Whether any episode has a file for the camera; images inside the data files always count."""
        if self._is_embedded(camera) or not self._layout.episodes:
            return True
        for index in self._layout.episodes:
            try:
                if self._layout.clip(index, camera).path.is_file():
                    return True
            except EpisodeError:
                continue
        return False

    def _is_embedded(self, camera: str) -> bool:
        return self._info.features[camera].get("dtype") == "image"

    def _disagreements(self) -> list[str]:
        """Sentences about what the metadata declares and the dataset does not hold."""
        info, count = self._info, len(self._layout.episodes)
        found = [
            f"The camera {camera!r} is declared but has no files; it is left out."
            for camera in info.cameras
            if camera not in self.cameras
        ]
        found += [f"The depth map {camera!r} is not read." for camera in info.depth_maps]
        if info.total_episodes not in (None, count):
            found.append(
                f"info.json counts {info.total_episodes} episodes, the metadata lists {count}; these are read."
            )
        for split, span in info.splits.items():
            last = str(span).rpartition(":")[2]
            if last.isdecimal() and int(last) > count:
                found.append(f"The split {split!r} ({span}) reaches beyond the {count} episodes; splits are not used.")
        if any(column not in info.features for column in self.embodiment.action_columns):
            found.append(f"There is no column {self.embodiment.action_column!r}; episodes are read without actions.")
        return found

    def episode_indices(self) -> list[int]:
        """The episode numbers the metadata lists, ascending; declared totals and splits are not trusted."""
        return sorted(self._layout.episodes)

    def record(self, index: int) -> Mapping[str, Any]:
        """The metadata's row of the episode, without statistics."""
        return self._layout.episodes[index]

    def files(self, index: int) -> list[Path]:
        """The data file, then one video a camera (none for images inside the data file)."""
        videos = [self._layout.clip(index, camera).path for camera in self.cameras if not self._is_embedded(camera)]
        return [self._layout.data_file(index), *videos]

    def share(self, index: int, file: Path) -> float:
        """The episode's part of the frames that lie in ``file``."""
        if self._lengths is None:
            self._lengths = {}
            for other in self._layout.episodes:
                for path in self._files_or_none(other):
                    self._lengths[path] = self._lengths.get(path, 0) + self._length(other)
        return self._length(index) / max(self._lengths[file], 1)

    def _files_or_none(self, index: int) -> list[Path]:
        try:
            return self.files(index)
        except EpisodeError:
            return []

    def _length(self, index: int) -> int:
        return int(self._layout.episodes[index].get("length") or 0)

    def signals(self, index: int) -> pa.Table:
        """See `EpisodeReader.signals`; recorded times are kept where they deviate from 1/fps."""
        rows = self._rows(index)
        times, recorded = self._times(rows), _recorded(rows)
        reasoning = frame_reasoning(rows, times if recorded is None else recorded)
        return canonical_signals(rows, self.embodiment, times, self._instructions(index, rows), reasoning)

    def _times(self, rows: pa.Table) -> Float64s:
        return relative_times(_recorded(rows), self.fps, rows.num_rows)

    def _rows(self, index: int) -> pa.Table:
        """The episode's rows in order, without images. Raises `EpisodeError` when they contradict the metadata."""
        if self._last is None or self._last[0] != index:
            wanted = {"timestamp", "task_index", PERSISTENT, EVENTS, *self.embodiment.columns}
            table = self._read(index, {*wanted, *self.embodiment.action_columns})
            declared = self._layout.episodes[index].get("length")
            if declared is not None and int(declared) != table.num_rows:
                raise EpisodeError(
                    f"The metadata says {declared} frames, the data file holds {table.num_rows}.", about="counts"
                )
            if "frame_index" in table.column_names and table["frame_index"].to_pylist() != list(range(table.num_rows)):
                raise EpisodeError(
                    f"frame_index does not count 0 to {table.num_rows - 1}; rows are missing or double.", about="counts"
                )
            self._last = (index, table)
        return self._last[1]

    def _read(self, index: int, wanted: set[str]) -> pa.Table:
        """Columns of the episode's rows, ordered; not through a dataset scan, which takes folder names for columns."""
        file = self._layout.data_file(index)
        name = file.relative_to(self._root).as_posix()
        if not file.is_file():
            raise EpisodeError(f"The data file {name} is missing.")
        try:
            source = pq.ParquetFile(file)
            present = [column for column in source.schema_arrow.names if column in {*wanted, *_ROW_KEYS}]
            table = source.read_row_groups(_row_groups(source, index), columns=present).select(present)
        except (OSError, pa.ArrowException) as error:
            raise EpisodeError(f"The data file {name} is not readable as Parquet; fetch it again.") from error
        if "episode_index" in present:
            table = table.filter(pc.equal(table["episode_index"], index))
        if table.num_rows == 0:
            raise EpisodeError("The episode has no frames.", about="counts")
        return table.sort_by("frame_index") if "frame_index" in present else table

    def _instructions(self, index: int, rows: pa.Table) -> list[str]:
        """The task text of each row by task_index; the episode's own where the rows name none or an unknown one."""
        own = next((str(task) for task in self._layout.episodes[index].get("tasks") or []), None)
        numbers = rows["task_index"].to_pylist() if "task_index" in rows.column_names else [None] * rows.num_rows
        texts = []
        for number in numbers:
            text = own if number is None else self.tasks.get(number, own)
            if text is None:
                raise EpisodeError(f"task_index {number} has no text and the episode names no task.", about="language")
            texts.append(text)
        return texts

    def facts(self, index: int) -> EpisodeFacts:
        """Length and words of the episode; ``task_name`` and ``initial_condition`` are optional metadata columns."""
        rows, record = self._rows(index), self._layout.episodes[index]
        instruction = self._instructions(index, rows.slice(0, 1))[0]
        condition = record.get("initial_condition")
        return EpisodeFacts(
            length=rows.num_rows,
            task=str(record.get("task_name") or instruction),
            instruction=instruction,
            initial_condition=None if condition is None else str(condition),
            source_file=self._layout.data_file(index).relative_to(self._root).as_posix(),
            source_id=str(index),
        )

    def packets(self, index: int, camera: str) -> Iterator[tuple[float, bytes]]:
        """See `EpisodeReader.packets`; an image inside the data file is a packet of its own."""
        if self._is_embedded(camera):
            times = self._times(self._rows(index)).tolist()
            return zip(times, self._images(index, camera), strict=True)
        found = packets(self._layout.clip(index, camera), self._slack)
        shown = sorted(seconds for seconds, _ in found)
        self._aligned(index, camera, shown)
        return ((float(seconds - shown[0]), data) for seconds, data in found)

    def frames(self, index: int, camera: str) -> Iterator[Image]:
        """See `EpisodeReader.frames`."""
        if self._is_embedded(camera):
            return (decode_image(data, camera) for data in self._images(index, camera))
        clip = self._layout.clip(index, camera)
        shown = presentation_times(clip, self._slack)
        return decode(clip, self._slack, shown, self._aligned(index, camera, shown))

    @property
    def _slack(self) -> float:
        return 0.5 / self.fps

    def _aligned(self, index: int, camera: str, shown: list[Fraction]) -> npt.NDArray[np.intp]:
        try:
            return align(shown, self._times(self._rows(index)), self._slack)
        except EpisodeError as error:
            raise EpisodeError(f"Camera {camera!r}: {error}.", about="alignment") from error

    def _images(self, index: int, camera: str) -> list[bytes]:
        """The encoded images of an ``image`` column, ``struct<bytes, path>`` as Hugging Face datasets write it."""
        rows = self._read(index, {camera})
        cells = rows[camera].to_pylist() if camera in rows.column_names else []
        images = [cell.get("bytes") if isinstance(cell, dict) else cell for cell in cells]
        encoded = [image for image in images if isinstance(image, bytes)]
        if not encoded or len(encoded) < len(images):
            raise EpisodeError(
                f"Camera {camera!r}: the data file does not hold an encoded image in every row.", about="images"
            )
        return encoded


def _recorded(rows: pa.Table) -> Float64s | None:
    """The timestamps as written, ``[T]`` seconds; None where there are none."""
    return matrix(rows["timestamp"], "timestamp")[:, 0] if "timestamp" in rows.column_names else None


def _row_groups(source: pq.ParquetFile, index: int) -> list[int]:
    """The row groups that may hold the episode, so that a file of many episodes is not read whole for one."""
    metadata = source.metadata
    groups = range(metadata.num_row_groups)
    if "episode_index" not in metadata.schema.names:
        return list(groups)
    column = metadata.schema.names.index("episode_index")
    found = []
    for group in groups:
        statistics = metadata.row_group(group).column(column).statistics
        if statistics is None or not statistics.has_min_max or statistics.min <= index <= statistics.max:
            found.append(group)
    return found
