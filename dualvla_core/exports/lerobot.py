"""The pruned dataset as LeRobot v3.0, which any trainer of that format can take."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dualvla_core.episodes.jpeg import decode_jpeg
from dualvla_core.episodes.lerobot_writer import EpisodeEntry, LeRobotWriter, Stats, event_columns, image_stats
from dualvla_core.episodes.reasoning import render_reasoning
from dualvla_core.episodes.segment import Segment
from dualvla_core.episodes.video_encoder import VideoEncoder
from dualvla_core.errors import DatasetError
from dualvla_core.exports.config import ExportConfig
from dualvla_core.exports.source import PrunedSegment, episodes_of, kept_frames
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.shards.reader import matrix

FEATURES = {"state": "observation.state", "action": "action"}
"""The canonical signal, and the feature LeRobot's policies look for."""
_STATS_EVERY = 10  # frames; pixels of neighbours say the same


class _Format(NamedTuple):
    """What all episodes of a LeRobot dataset have in common."""

    robot_type: str
    fps: float
    widths: tuple[int, int]
    """Numbers per state and per action; 0 without."""
    cameras: tuple[tuple[str, int, int], ...]
    """Camera, height and width (px)."""


def export_lerobot(
    params: ExportConfig, collection: Path, segments: Sequence[PrunedSegment], output: Path, progress: Progress = silent
) -> Summary:
    """Write a LeRobot v3.0 dataset of every frame and action, with reasoning where pruning kept it.

    Reasoning lies in ``language_events`` on its own frame (see `event_columns`); videos are encoded from the decoded
    frames. Each segment becomes one data file and one video file per camera.

    Raises `DatasetError` for what the format cannot hold: episodes that differ in robot, rate, cameras or signals, a
    rate that is no whole number, or images with an odd side.
    """
    opened = [
        (pruned, Segment(pruned.segment, pruned.reasoning), episodes_of(params, collection, pruned.key))
        for pruned in segments
    ]
    chosen = [(pruned, segment, rows) for pruned, segment, rows in opened if rows]
    if not chosen:
        raise DatasetError("There is no episode to export; hold out fewer, or export all.")
    common = _common_format([(segment, row) for _, segment, rows in chosen for row in rows])
    writer = LeRobotWriter(
        output,
        fps=int(common.fps),
        robot_type=common.robot_type,
        vectors={
            feature: [f"{name}_{index}" for index in range(width)]
            for (name, feature), width in zip(FEATURES.items(), common.widths, strict=True)
            if width
        },
        cameras={_feature(camera): (height, width) for camera, height, width in common.cameras},
    )
    total = sum(len(rows) for _, _, rows in chosen)
    counted = {"episodes": 0, "frames": 0, "frames_with_reasoning": 0}
    for pruned, segment, rows in chosen:
        keep = kept_frames(pruned, segment)
        tables = [_frames(segment, row["position"], keep[row["position"]]) for row in rows]
        videos = _encoded(params, common, segment, rows, output)
        writer.add(pa.concat_tables(tables), videos, [_entry(segment, row) for row in rows])
        for video in videos.values():
            video.unlink()
        counted["episodes"] += len(rows)
        counted["frames"] += sum(map(len, tables))
        counted["frames_with_reasoning"] += sum(pc.sum(_said(table)).as_py() for table in tables)
        progress(counted["episodes"], total)
    writer.close()
    return {**counted}


def _encoded(
    params: ExportConfig, common: _Format, segment: Segment, rows: Sequence[Mapping[str, Any]], folder: Path
) -> dict[str, Path]:
    """Per feature the video of the episodes ``rows``, one after another, in ``folder``."""
    videos = {}
    for number, (camera, height, width) in enumerate(common.cameras):
        videos[_feature(camera)] = path = folder / f"video-{number}.mp4"
        encoder = VideoEncoder(path, (height, width), int(common.fps), params.video_crf, params.video_gop)
        for row in rows:
            encoder.write_episode(segment.frames(row["position"], camera))
        encoder.close()
    return videos


def _common_format(episodes: Sequence[tuple[Segment, Mapping[str, Any]]]) -> _Format:
    formats = {_format(segment, row) for segment, row in episodes}
    if len(formats) > 1:
        differing = [
            name
            for name, values in zip(_Format._fields, zip(*formats, strict=True), strict=True)
            if len(set(values)) > 1
        ]
        raise DatasetError(
            f"The episodes differ in {' and '.join(differing).replace('_', ' ')}, of which a LeRobot dataset has one; "
            "export each kind on its own, or export keep_ranges."
        )
    common = formats.pop()
    if not common.fps.is_integer():
        raise DatasetError(
            f"The episodes have {common.fps:g} frames per second and a LeRobot dataset has a whole number; export "
            "keep_ranges instead."
        )
    odd = [camera for camera, height, width in common.cameras if height % 2 or width % 2]
    if odd:
        raise DatasetError(
            f"The images of camera {odd[0]!r} have an odd side, which the video cannot hold; decode them with another "
            "decode.image_size."
        )
    return common


def _format(segment: Segment, row: Mapping[str, Any]) -> _Format:
    signals, embodiment = segment.signals(row["position"]), segment.embodiment
    found = [matrix(signals.column(name), f"The column {name!r}") for name in FEATURES]
    state, action = (0 if values is None else values.shape[1] for values in found)
    images = ((camera, decode_jpeg(segment.images(row["position"], camera)[0])) for camera in segment.cameras)
    return _Format(
        robot_type=embodiment.robot_types[0] if embodiment.robot_types else embodiment.name,
        fps=row["fps"],
        widths=(state, action),
        cameras=tuple((camera, image.shape[0], image.shape[1]) for camera, image in images),
    )


def _frames(segment: Segment, position: int, keep: NDArray[np.bool_]) -> pa.Table:
    """The rows of an episode, as `LeRobotWriter.add` takes them."""
    signals = segment.signals(position)
    columns: dict[str, pa.Array] = {}
    for name, feature in FEATURES.items():
        values = matrix(signals.column(name), f"The column {name!r}")
        if values is not None:
            columns[feature] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    texts = [
        render_reasoning([(piece["style"], piece["content"]) for piece in pieces]) if kept and pieces else None
        for pieces, kept in zip(signals.column("reasoning").to_pylist(), keep.tolist(), strict=True)
    ]
    return pa.table(columns | event_columns(texts))


def _said(frames: pa.Table) -> pa.ChunkedArray:
    return pc.list_value_length(frames["language_events"])


def _entry(segment: Segment, row: Mapping[str, Any]) -> EpisodeEntry:
    extra = {"task_name": row["task"], "initial_condition": row["initial_condition"], "source_episode": row["episode"]}
    stats: dict[str, Stats] = {
        _feature(camera): image_stats(_sampled(segment.images(row["position"], camera))) for camera in segment.cameras
    }
    return EpisodeEntry(row["length"], row["instruction"], extra, stats)


def _sampled(images: Sequence[bytes]) -> Iterator[NDArray[np.uint8]]:
    return map(decode_jpeg, images[::_STATS_EVERY])


def _feature(camera: str) -> str:
    return camera if camera.startswith("observation.images.") else f"observation.images.{camera}"
