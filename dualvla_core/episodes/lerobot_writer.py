"""Writes LeRobot v3.0 datasets: any vectors, cameras and language, several data and video files, nothing re-encoded.

Everything here is an explicit function of what is handed in; no clock and no host leaves a trace, and files that were
written are never touched again, so a dataset that only grows keeps its earlier data and video bytes.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Stats: TypeAlias = dict[str, npt.NDArray[Any]]
"""min, max, mean, std, count and the quantiles of a feature, each at least one-dimensional."""

DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES_PATH = "meta/episodes/chunk-000/file-000.parquet"
FILES_PER_CHUNK = 1000
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}

_ROW = [
    pa.field("role", pa.string(), False),
    pa.field("content", pa.string()),
    pa.field("style", pa.string()),
    pa.field("timestamp", pa.float32(), False),
    pa.field("camera", pa.string()),
    pa.field("tool_calls", pa.list_(pa.string())),
]
LANGUAGE_TYPES = {
    "language_persistent": pa.list_(pa.struct(_ROW)),
    "language_events": pa.list_(pa.struct([row for row in _ROW if row.name != "timestamp"])),
}
"""LeRobot's language columns: rows in force from a timestamp on, and rows that belong to their frame alone."""


@dataclass(frozen=True)
class LanguageRow:
    """One utterance, in force from ``timestamp`` (s since the episode's start) until the next of its style."""

    style: str
    content: str
    timestamp: float
    role: str = "assistant"


@dataclass(frozen=True)
class EpisodeEntry:
    """What the metadata says about one episode besides what follows from its frames."""

    length: int
    task: str
    """The instruction."""
    extra: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    """Further columns of the episode table, the same ones for every episode."""
    image_stats: Mapping[str, Stats] = field(default_factory=dict)
    """Per camera the `image_stats` of its images."""


def language_columns(rows: Sequence[LanguageRow], length: int) -> dict[str, pa.Array]:
    """Both language columns of an episode: all rows repeated on each frame, as the format asks, and no events."""
    said = [
        {
            "role": row.role,
            "content": row.content,
            "style": row.style,
            "timestamp": row.timestamp,
            "camera": None,
            "tool_calls": None,
        }
        for row in rows
    ]
    return {
        "language_persistent": pa.array([said] * length, LANGUAGE_TYPES["language_persistent"]),
        "language_events": pa.array([[]] * length, LANGUAGE_TYPES["language_events"]),
    }


def event_columns(texts: Sequence[str | None]) -> dict[str, pa.Array]:
    """Both language columns of an episode in which ``texts[i]`` is said on frame ``i`` and nowhere else.

    The rows have no style: LeRobot's styles for plans and subtasks are in force until the next one, which cannot say
    that a frame has none. Its resolver ``emitted_at(t, role=assistant)`` finds exactly these.
    """
    row = {"role": "assistant", "style": None, "camera": None, "tool_calls": None}
    events = [[] if text is None else [{**row, "content": text}] for text in texts]
    return {
        "language_persistent": pa.array([[]] * len(texts), LANGUAGE_TYPES["language_persistent"]),
        "language_events": pa.array(events, LANGUAGE_TYPES["language_events"]),
    }


def vector_stats(values: npt.NDArray[Any]) -> Stats:
    """Statistics over the frames of a feature ``[T, D]`` or ``[T]``; each but count is ``[D]``."""
    table = np.asarray(values, np.float64).reshape(len(values), -1)
    stats = {"min": table.min(0), "max": table.max(0), "mean": table.mean(0), "std": table.std(0)}
    quantiles = np.quantile(table, list(QUANTILES.values()), axis=0)
    return stats | {"count": np.array([len(table)])} | dict(zip(QUANTILES, quantiles, strict=True))


def image_stats(images: Iterable[npt.NDArray[np.uint8]]) -> Stats:
    """Statistics over all pixels of images ``[H, W, 3]`` in [0, 1]; each is ``[3, 1, 1]``, count (images) ``[1]``."""
    histogram, count = np.zeros((3, 256)), 0
    for image in images:
        histogram += [np.bincount(image[..., channel].ravel(), minlength=256) for channel in range(3)]
        count += 1
    levels = np.arange(256) / 255
    share = histogram / histogram.sum(1, keepdims=True)
    mean = share @ levels
    std = np.sqrt(np.maximum(share @ levels**2 - mean**2, 0))
    seen = [levels[row > 0] for row in histogram]
    stats = {"min": np.array([row[0] for row in seen]), "max": np.array([row[-1] for row in seen])}
    stats |= {"mean": mean, "std": std}
    cumulated = np.cumsum(share, axis=1)
    for name, quantile in QUANTILES.items():
        stats[name] = levels[(cumulated >= quantile - 1e-12).argmax(1)]
    return {name: value.reshape(3, 1, 1) for name, value in stats.items()} | {"count": np.array([count])}


def merge_stats(parts: Sequence[Stats]) -> Stats:
    """Statistics of a whole from those of its parts: exact but for the quantiles, which are means weighted by count."""
    counts = np.array([part["count"][0] for part in parts], np.float64)
    weights = counts / counts.sum()
    merged = {name: np.tensordot(weights, np.stack([part[name] for part in parts]), 1) for name in ("mean", *QUANTILES)}
    spread = np.stack([part["std"] ** 2 + (part["mean"] - merged["mean"]) ** 2 for part in parts])
    return merged | {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "std": np.sqrt(np.tensordot(weights, spread, 1)),
        "count": np.array([int(counts.sum())]),
    }


class LeRobotWriter:
    """Writes a dataset one data file and one video file per camera at a time; `close` writes the metadata.

    Args:
        root: an empty folder.
        fps: frames per second of rows and videos.
        robot_type: the dataset's word for its robot.
        vectors: float32 features and the names of their numbers.
        cameras: video features and their ``(height, width)`` (px); H.264 in yuv420p.
    """

    def __init__(
        self,
        root: Path,
        fps: int,
        robot_type: str,
        vectors: Mapping[str, Sequence[str]],
        cameras: Mapping[str, tuple[int, int]],
    ) -> None:
        self._root = root
        self._fps = fps
        self._robot_type = robot_type
        self._vectors = vectors
        self._cameras = cameras
        self._tasks: dict[str, int] = {}
        self._files = 0
        self._frames = 0
        self._rows: list[dict[str, Any]] = []
        self._stats: list[dict[str, Stats]] = []
        self._values: dict[str, list[npt.NDArray[Any]]] = {}

    def add(self, rows: pa.Table, videos: Mapping[str, Path], episodes: Sequence[EpisodeEntry]) -> None:
        """Append one data file and one video file per camera.

        Args:
            rows: the frames of all these episodes, in order: the vectors and both language columns.
            videos: per camera a video that shows exactly these frames, one after another; it is copied as it is.
            episodes: what is said about each of them; at least one.

        Raises:
            ValueError: when the lengths of the episodes do not add up to the rows.
        """
        if rows.num_rows != sum(episode.length for episode in episodes):
            raise ValueError(f"{rows.num_rows} rows were handed in for episodes of other lengths in all")
        chunk, file = divmod(self._files, FILES_PER_CHUNK)
        place = {"chunk_index": chunk, "file_index": file}
        path = _prepared(self._root / DATA_PATH.format(**place))
        with pq.ParquetWriter(path, self._data_schema(), compression="zstd") as writer:
            start = 0
            for episode in episodes:  # a row group each, so that one episode can be read alone
                table = self._numbered(rows.slice(start, episode.length), episode)
                writer.write_table(table, row_group_size=episode.length)
                self._describe(table, episode, place, start)
                start += episode.length
        for camera, video in videos.items():
            shutil.copyfile(video, _prepared(self._root / VIDEO_PATH.format(video_key=camera, **place)))
        self._files += 1

    def _numbered(self, rows: pa.Table, episode: EpisodeEntry) -> pa.Table:
        """The rows of one episode with the columns that LeRobot numbers them by."""
        length, first = episode.length, self._frames
        index = np.arange(length)
        task = self._tasks.setdefault(episode.task, len(self._tasks))
        columns = {name: rows[name].combine_chunks() for name in (*self._vectors, *LANGUAGE_TYPES)}
        columns |= {
            "timestamp": pa.array((index / self._fps).astype(np.float32)),
            "frame_index": pa.array(index),
            "episode_index": pa.array(np.full(length, len(self._rows))),
            "index": pa.array(first + index),
            "task_index": pa.array(np.full(length, task)),
        }
        return pa.table({name: columns[name] for name in self._data_schema().names}, schema=self._data_schema())

    def _describe(self, table: pa.Table, episode: EpisodeEntry, place: Mapping[str, int], start: int) -> None:
        first = self._frames
        row: dict[str, Any] = {
            "episode_index": len(self._rows),
            "tasks": [episode.task],
            "length": episode.length,
            **episode.extra,
            **{f"data/{key}": value for key, value in place.items()},
            "dataset_from_index": first,
            "dataset_to_index": first + episode.length,
        }
        for camera in self._cameras:
            row |= {f"videos/{camera}/{key}": value for key, value in place.items()}
            row[f"videos/{camera}/from_timestamp"] = start / self._fps
            row[f"videos/{camera}/to_timestamp"] = (start + episode.length) / self._fps
        stats: dict[str, Stats] = {camera: episode.image_stats[camera] for camera in self._cameras}
        for name in self._numeric():
            column = table[name].combine_chunks()
            values = np.stack(column.to_numpy(zero_copy_only=False))
            stats[name] = vector_stats(values)
            self._values.setdefault(name, []).append(values)
        for name, found in stats.items():
            row |= {f"stats/{name}/{key}": value.tolist() for key, value in found.items()}
        self._rows.append(row | {"meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0})
        self._stats.append(stats)
        self._frames += episode.length

    def close(self) -> None:
        """Write ``meta/``. Raises ValueError when no episode was added: LeRobot knows no empty dataset."""
        if not self._rows:
            raise ValueError("a LeRobot dataset needs at least one episode")
        pq.write_table(pa.Table.from_pylist(self._rows), _prepared(self._root / EPISODES_PATH), compression="zstd")
        pq.write_table(self._task_table(), self._root / "meta/tasks.parquet", compression="zstd")
        stats = {name: merge_stats([part[name] for part in self._stats]) for name in self._cameras}
        stats |= {name: vector_stats(np.concatenate(values)) for name, values in self._values.items()}
        plain = {name: {key: value.tolist() for key, value in found.items()} for name, found in stats.items()}
        _write_json(self._root / "meta/stats.json", plain)
        _write_json(self._root / "meta/info.json", self._info())

    def _info(self) -> dict[str, Any]:
        return {
            "codebase_version": "v3.0",
            "robot_type": self._robot_type,
            "total_episodes": len(self._rows),
            "total_frames": self._frames,
            "total_tasks": len(self._tasks),
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._rows)}"},
            "data_path": DATA_PATH,
            "video_path": VIDEO_PATH,
            "features": self._features(),
        }

    def _features(self) -> dict[str, Any]:
        features: dict[str, Any] = {
            camera: {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": height,
                    "video.width": width,
                    "video.codec": "h264",
                    "video.pix_fmt": "yuv420p",
                    "video.is_depth_map": False,
                    "video.fps": self._fps,
                    "video.channels": 3,
                    "has_audio": False,
                },
            }
            for camera, (height, width) in self._cameras.items()
        }
        for name, parts in self._vectors.items():
            features[name] = {"dtype": "float32", "shape": [len(parts)], "names": list(parts)}
        features |= {name: {"dtype": "language", "shape": [1], "names": None} for name in LANGUAGE_TYPES}
        for name, kind in _NUMBERING.items():
            features[name] = {"dtype": "float32" if kind == pa.float32() else "int64", "shape": [1], "names": None}
        return features

    def _numeric(self) -> list[str]:
        return [*self._vectors, *_NUMBERING]

    def _data_schema(self) -> pa.Schema:
        vectors = {name: pa.list_(pa.float32(), len(parts)) for name, parts in self._vectors.items()}
        return pa.schema(vectors | LANGUAGE_TYPES | _NUMBERING)

    def _task_table(self) -> pa.Table:
        """Instruction to number, with the text as the index of the data frame that pandas makes of it."""
        pandas = {
            "index_columns": ["task"],
            "column_indexes": [],
            "columns": [
                {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": kind, "metadata": None}
                for name, kind in (("task_index", "int64"), ("task", "object"))
            ],
            "pandas_version": "2.0.0",
        }
        table = pa.table({"task_index": pa.array(list(self._tasks.values())), "task": pa.array(list(self._tasks))})
        return table.replace_schema_metadata({"pandas": json.dumps(pandas)})


_NUMBERING: dict[str, pa.DataType] = {
    "timestamp": pa.float32(),
    "frame_index": pa.int64(),
    "episode_index": pa.int64(),
    "index": pa.int64(),
    "task_index": pa.int64(),
}


def _prepared(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=4) + "\n", encoding="utf-8")
