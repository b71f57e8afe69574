"""One episode drawn in full: thumbnails, labels, signals and reasoning, all over one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core import schemas
from dualvla_core.episodes.segment import Segment
from dualvla_core.report import svg
from dualvla_core.report.config import ReportParams
from dualvla_core.report.context import CuratedSegment
from dualvla_core.report.measures import read_table
from dualvla_core.report.model import EpisodeRow
from dualvla_core.report.panels import EpisodeTables, Panel, Raster, flags, frame_scale, rasters, signal_panels
from dualvla_core.report.svg import Flags
from dualvla_core.report.thumbnails import data_uri, shrink


class ReasoningPiece(TypedDict):
    """One entry of a frame's reasoning, as `schemas.REASONING` holds it."""

    style: str
    content: str


@dataclass(frozen=True)
class Thumbnail:
    """A frame of the strip; ``seconds`` since the first frame."""

    source: str
    frame_index: int
    seconds: float
    kept: bool


@dataclass(frozen=True)
class CameraStrip:
    """The thumbnails of one camera, evenly spaced in time."""

    camera: str
    thumbnails: tuple[Thumbnail, ...]


@dataclass(frozen=True)
class Piece:
    """A distinct piece of reasoning: on how many frames it stood, on how many it stays, and where."""

    style: str
    content: str
    before: int
    after: int
    present: str
    kept: str


@dataclass(frozen=True)
class Tick:
    """A label on the time axis; ``position`` in percent of its length."""

    position: float
    label: str


@dataclass(frozen=True)
class Phase:
    """A recorded phase change; ``position`` in percent of the time axis."""

    position: float
    name: str


@dataclass(frozen=True)
class FilmStrip:
    """Everything the page draws of one episode."""

    row: EpisodeRow
    why: str
    fps: float
    strips: tuple[CameraStrip, ...]
    other_cameras: tuple[str, ...]
    rasters: tuple[Raster, ...]
    panels: tuple[Panel, ...]
    pieces: tuple[Piece, ...]
    ticks: tuple[Tick, ...]
    phases: tuple[Phase, ...]


def draw_film_strip(
    source: CuratedSegment, position: int, row: EpisodeRow, why: str, phases: Path | None, params: ReportParams
) -> FilmStrip:
    """Draw record batch ``position`` of a segment; ``phases`` is the dataset's table of phase changes, if recorded."""
    segment = Segment(source.segment, source.reasoning)
    tables = _tables(source, segment, position, row.episode)
    keep = flags(tables.decisions, "keep")
    fps = row.frames / row.seconds
    shown = segment.cameras[: params.strip_cameras]
    chosen = strip_frames(keep, params.strip_frames)
    return FilmStrip(
        row=row,
        why=why,
        fps=fps,
        strips=tuple(_strip(camera, segment.images(position, camera), chosen, keep, fps, params) for camera in shown),
        other_cameras=tuple(segment.cameras[params.strip_cameras :]),
        rasters=rasters(tables.decisions),
        panels=signal_panels(tables, segment.embodiment),
        pieces=reasoning_pieces(tables.signals["reasoning"].to_pylist(), keep),
        ticks=time_ticks(row.seconds),
        phases=_phases(phases, row) if phases is not None else (),
    )


def strip_frames(keep: Flags, most: int) -> list[int]:
    """One frame per equal share of the episode ``[T]``: the kept frame nearest its middle, else the middle frame."""
    edges = np.linspace(0, len(keep), min(most, len(keep)) + 1).round().astype(int)
    chosen = []
    for start, stop in pairwise(edges):
        middle = (start + stop - 1) // 2
        kept = np.flatnonzero(keep[start:stop]) + start
        chosen.append(int(kept[np.abs(kept - middle).argmin()]) if kept.size else int(middle))
    return chosen


def reasoning_pieces(reasoning: Sequence[Sequence[ReasoningPiece] | None], keep: Flags) -> tuple[Piece, ...]:
    """The distinct pieces of an episode's reasoning in order of appearance; empty where it has none."""
    present: dict[tuple[str, str], Flags] = {}
    for frame, pieces in enumerate(reasoning):
        for piece in pieces or ():
            name = (piece["style"], piece["content"])
            present.setdefault(name, np.zeros(len(keep), np.bool_))[frame] = True
    x = frame_scale(len(keep))
    return tuple(
        Piece(
            style=style,
            content=content,
            before=int(where.sum()),
            after=int((where & keep).sum()),
            present=svg.bands(svg.runs(where), x),
            kept=svg.bands(svg.runs(where & keep), x),
        )
        for (style, content), where in present.items()
    )


def time_ticks(seconds: float) -> tuple[Tick, ...]:
    """Round times in seconds, placed in percent of the episode's duration."""
    return tuple(Tick(100 * time / seconds, f"{time:g}") for time in svg.ticks(seconds, most=8))


def _tables(source: CuratedSegment, segment: Segment, position: int, episode: str) -> EpisodeTables:
    def ordered(path: Path, expected: pa.Schema) -> pa.Table:
        return read_table(path, expected, episode).sort_by("frame_index")

    return EpisodeTables(
        signals=segment.signals(position),
        boundaries=ordered(source.boundaries / "boundaries.parquet", schemas.BOUNDARIES),
        kinematics=ordered(source.kinematics / "kinematics.parquet", schemas.KINEMATICS),
        decisions=ordered(source.decisions / "decisions.parquet", schemas.DECISIONS),
    )


def _strip(
    camera: str, images: Sequence[bytes], chosen: Sequence[int], keep: Flags, fps: float, params: ReportParams
) -> CameraStrip:
    thumbnails = []
    for frame in chosen:
        source = data_uri(shrink(images[frame], params.thumbnail_height, params.jpeg_quality))
        thumbnails.append(Thumbnail(source, frame, frame / fps, bool(keep[frame])))
    return CameraStrip(camera, tuple(thumbnails))


def _phases(path: Path, row: EpisodeRow) -> tuple[Phase, ...]:
    changes = pq.read_table(path, columns=["episode_index", "frame_index", "phase"])
    own = changes.filter(pc.equal(changes["episode_index"], row.episode_index)).sort_by("frame_index")
    return tuple(Phase(100 * change["frame_index"] / row.frames, change["phase"]) for change in own.to_pylist())
