"""Where LeRobot v2.x and v3 keep the metadata, rows and videos of an episode."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.video import Clip
from dualvla_core.errors import DatasetError, EpisodeError

V2_DATA = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
V2_VIDEO = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
V3_DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
V3_VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"


@dataclass(frozen=True)
class Info:
    """What we use of ``meta/info.json``; keys we do not know are ignored."""

    version: str
    fps: float
    robot_type: str | None
    features: Mapping[str, Mapping[str, Any]]
    chunk_size: int
    data_path: str | None
    video_path: str | None
    total_episodes: int | None
    splits: Mapping[str, str]

    @property
    def cameras(self) -> list[str]:
        """Declared colour cameras (depth maps are no images to look at)."""
        return [
            name
            for name, feature in self.features.items()
            if feature.get("dtype") in ("video", "image") and not _details(feature).get("video.is_depth_map", False)
        ]

    @property
    def depth_maps(self) -> list[str]:
        """Declared depth cameras, which are not read."""
        return [name for name, feature in self.features.items() if _details(feature).get("video.is_depth_map", False)]

    @property
    def widths(self) -> dict[str, int]:
        """Numbers per frame of each declared numeric column."""
        numeric = ("float", "int", "uint", "bool")
        found = {}
        for name, feature in self.features.items():
            shape = feature.get("shape") or [1]
            if str(feature.get("dtype")).startswith(numeric) and len(shape) == 1:
                found[name] = int(shape[0])
        return found


def _details(feature: Mapping[str, Any]) -> Mapping[str, Any]:
    found = feature.get("info") or feature.get("video_info") or {}
    return found if isinstance(found, Mapping) else {}


def read_info(root: Path) -> Info:
    """``meta/info.json``. Raises `DatasetError` naming the key that is missing or wrong."""
    raw = json.loads((root / "meta" / "info.json").read_text(encoding="utf-8"))
    fps, features = raw.get("fps"), raw.get("features")
    if not isinstance(fps, int | float) or not 0 < fps < math.inf:
        raise DatasetError(f"meta/info.json gives the frame rate {fps!r}, expected a positive number under 'fps'.")
    if not isinstance(features, dict) or not all(isinstance(feature, dict) for feature in features.values()):
        raise DatasetError("meta/info.json has no table of columns under 'features'; restore it.")
    splits = raw.get("splits")
    return Info(
        version=str(raw["codebase_version"]),
        fps=float(fps),
        robot_type=raw.get("robot_type"),
        features=features,
        chunk_size=int(raw.get("chunks_size") or 1000),
        data_path=raw.get("data_path"),
        video_path=raw.get("video_path"),
        total_episodes=raw.get("total_episodes"),
        splits=splits if isinstance(splits, dict) else {},
    )


class Layout(Protocol):
    """What differs between the LeRobot versions."""

    episodes: dict[int, dict[str, Any]]  # the metadata's row of each episode, as JSON values
    tasks: dict[int, str]
    warnings: list[str]

    def data_file(self, index: int) -> Path:
        """The Parquet file that holds the episode's rows."""
        ...

    def clip(self, index: int, camera: str) -> Clip:
        """The part of a video file that the camera's images of the episode occupy."""
        ...


class LayoutV2:
    """LeRobot v2.0 and v2.1: JSON-lines metadata, one data file an episode, one video an episode and camera."""

    def __init__(self, root: Path, info: Info) -> None:
        self._root = root
        self._info = info
        self.warnings: list[str] = []
        self.episodes = {row["episode_index"]: row for row in _json_lines(root, "episodes", episode_index=int)}
        self.tasks = {row["task_index"]: row["task"] for row in _json_lines(root, "tasks", task_index=int, task=str)}
        self._data_path = self._template("data_path", info.data_path, V2_DATA)
        self._video_path = self._template("video_path", info.video_path, V2_VIDEO)

    def _template(self, key: str, declared: str | None, standard: str) -> str:
        """The declared path template, or the standard one where only that leads to the last episode's file.

        Some published datasets carry templates that are right for episode 0 only.
        """
        if declared is None or declared == standard or not self.episodes:
            return standard
        last = max(self.episodes)
        cameras = self._info.cameras or [""]
        found = {
            path: any((self._root / self._fill(path, last, camera)).is_file() for camera in cameras)
            for path in (declared, standard)
        }
        if found[declared] or not found[standard]:
            return declared
        self.warnings.append(
            f"info.json's {key} {declared!r} does not lead to the files of episode {last}; the standard path does and "
            "is used."
        )
        return standard

    def _fill(self, template: str, index: int, camera: str) -> str:
        chunk = index // self._info.chunk_size
        try:
            return template.format(episode_chunk=chunk, episode_index=index, video_key=camera)
        except (KeyError, IndexError, ValueError) as error:
            raise DatasetError(
                f"meta/info.json has the path template {template!r}, which cannot be filled in."
            ) from error

    def data_file(self, index: int) -> Path:
        """``data/chunk-*/episode_*.parquet``."""
        return self._root / self._fill(self._data_path, index, "")

    def clip(self, index: int, camera: str) -> Clip:
        """All of ``videos/chunk-*/<camera>/episode_*.mp4``."""
        name = self._fill(self._video_path, index, camera)
        return Clip(self._root / name, name)


class LayoutV3:
    """LeRobot v3: Parquet metadata, many episodes a data file, many episodes a video file."""

    def __init__(self, root: Path, info: Info) -> None:
        self._root = root
        self._data_path = info.data_path or V3_DATA
        self._video_path = info.video_path or V3_VIDEO
        self.warnings: list[str] = []
        self.episodes = {int(row["episode_index"]): row for row in self._episode_rows()}
        self.tasks = self._read_tasks()

    def _episode_rows(self) -> list[dict[str, Any]]:
        files = sorted((self._root / "meta" / "episodes").rglob("*.parquet"))
        if not files:
            raise DatasetError("The dataset has no meta/episodes/*/*.parquet; restore its metadata.")
        rows = []
        for file in files:
            table = _read_metadata(self._root, file)
            if "episode_index" not in table.column_names:
                name = file.relative_to(self._root).as_posix()
                raise DatasetError(f"{name} has no column 'episode_index'; restore it.")
            wanted = [name for name in table.column_names if not name.startswith(("stats/", "meta/"))]
            rows += table.select(wanted).to_pylist()
        return rows

    def _read_tasks(self) -> dict[int, str]:
        table = _read_metadata(self._root, self._root / "meta" / "tasks.parquet")
        # pandas writes the text as an index, whose name depends on the writer
        text = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
        if text is None or "task_index" not in table.column_names:
            raise DatasetError(
                f"meta/tasks.parquet has the columns {table.column_names}, expected task_index and task."
            )
        return dict(zip(table["task_index"].to_pylist(), table[text].to_pylist(), strict=True))

    def _place(self, index: int, prefix: str) -> dict[str, int]:
        row = self.episodes[index]
        place = {key: row.get(f"{prefix}/{key}") for key in ("chunk_index", "file_index")}
        if None in place.values():
            raise EpisodeError(f"The metadata of episode {index} does not say in which file its {prefix} lies.")
        return {key: int(value) for key, value in place.items() if value is not None}

    def data_file(self, index: int) -> Path:
        """The ``data/chunk-*/file-*.parquet`` the metadata names for the episode."""
        return self._root / self._data_path.format(**self._place(index, "data"))

    def clip(self, index: int, camera: str) -> Clip:
        """``from_timestamp`` to ``to_timestamp`` of the video file the metadata names for episode and camera."""
        prefix = f"videos/{camera}"
        name = self._video_path.format(video_key=camera, **self._place(index, prefix))
        start, stop = (self.episodes[index].get(f"{prefix}/{end}_timestamp") for end in ("from", "to"))
        if start is None or stop is None:
            raise EpisodeError(f"The metadata of episode {index} does not say where in {name} it lies.")
        return Clip(self._root / name, name, float(start), float(stop))


def _json_lines(root: Path, name: str, **keys: type) -> list[dict[str, Any]]:
    """The objects of ``meta/<name>.jsonl``, each of which has the ``keys``, of these types."""
    file = root / "meta" / f"{name}.jsonl"
    if not file.is_file():
        raise DatasetError(f"The dataset has no meta/{name}.jsonl; restore its metadata.")
    rows = []
    for place, line in enumerate(file.read_bytes().splitlines(), start=1):  # of bytes: a text may hold U+2028
        if line.strip():
            try:
                row = json.loads(line)
                rows.append({**row, **{key: kind(row[key]) for key, kind in keys.items()}})
            except (ValueError, KeyError, TypeError) as error:
                wanted = " and ".join(map(repr, keys))
                raise DatasetError(f"Line {place} of meta/{name}.jsonl is not a JSON object with {wanted}.") from error
    return rows


def _read_metadata(root: Path, file: Path) -> pa.Table:
    try:
        return pq.ParquetFile(file).read()
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(f"{file.relative_to(root).as_posix()} is missing or not readable; restore it.") from error
