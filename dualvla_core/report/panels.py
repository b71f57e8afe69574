"""The signal panels under a film strip: every one drawn over the same frames, from the curated tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.report import formats, svg
from dualvla_core.report.svg import HEIGHT, WIDTH, Flags, Floats, Scale

_COLUMNS = 700  # more points than a plot is wide, in pixels, cannot be seen


@dataclass(frozen=True)
class Panel:
    """One signal: path strings in the `svg` view box, and the words the page sets beside them."""

    title: str
    unit: str
    note: str  # the dashed line's value, and how many marks there are
    tone: str  # scene, action or gripper: which colour
    high: str  # value at the top edge; empty where nothing is drawn
    low: str
    curves: tuple[str, ...] = ()
    level: str = ""  # dashed
    bands: str = ""
    marks: str = ""


@dataclass(frozen=True)
class Raster:
    """One label per frame, drawn as a bar that is filled where the label is 1."""

    title: str
    tone: str
    bands: str
    frames: int


@dataclass(frozen=True)
class EpisodeTables:
    """The curated rows of one episode, in frame order."""

    signals: pa.RecordBatch
    boundaries: pa.Table
    kinematics: pa.Table
    decisions: pa.Table


def flags(table: pa.Table, column: str) -> Flags:
    """A boolean column as an array ``[T]``."""
    return np.asarray(table[column].to_pylist(), dtype=np.bool_)


def numbers(table: pa.Table, column: str) -> Floats:
    """A numeric column as an array ``[T]``; null becomes NaN."""
    return np.asarray([np.nan if value is None else value for value in table[column].to_pylist()], dtype=np.float64)


def vectors(table: pa.Table | pa.RecordBatch, column: str) -> Floats | None:
    """A list column as an array ``[T, D]``; None where the demonstration has no such signal."""
    rows = table[column].to_pylist()
    if not rows or any(row is None for row in rows) or not rows[0]:
        return None
    return np.asarray([[np.nan if value is None else value for value in row] for row in rows], dtype=np.float64)


def frame_scale(frames: int) -> Scale:
    """Frame ``k`` fills ``[k, k + 1)`` of the time axis; thumbnails, bars and curves share it."""
    return Scale(0, frames, 0, WIDTH)


def rasters(decisions: pa.Table) -> tuple[Raster, ...]:
    """Scene label, action label, and the frames that keep their reasoning."""
    x = frame_scale(decisions.num_rows)
    rows = [("Scene label", "scene", "scene_label"), ("Action label", "action", "action_label")]
    rows.append(("Kept", "kept", "keep"))
    drawn = []
    for title, tone, column in rows:
        values = flags(decisions, column)
        drawn.append(Raster(title, tone, svg.bands(svg.runs(values), x), int(values.sum())))
    return tuple(drawn)


def signal_panels(tables: EpisodeTables, embodiment: Embodiment) -> tuple[Panel, ...]:
    """Boundary score, acceleration of each arm, and gripper openness where there is a gripper."""
    gripper = vectors(tables.signals, "gripper")
    found = [_boundary_panel(tables), *_acceleration_panels(tables.kinematics, embodiment)]
    if gripper is not None:
        found.append(_gripper_panel(gripper, tables.kinematics, embodiment))
    return tuple(found)


def _curve(values: Floats, y: Scale) -> str:
    centres = np.arange(len(values), dtype=np.float64) + 0.5
    xs, ys = svg.envelope(centres, values, _COLUMNS)
    return svg.polyline(xs, ys, frame_scale(len(values)), y)


def _top(values: Floats) -> float:
    """The upper end of an axis: the largest finite value with a little air, or 1 where there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) * 1.05 if finite.size and finite.max() > 0 else 1.0


def _boundary_panel(tables: EpisodeTables) -> Panel:
    score, threshold = numbers(tables.boundaries, "score"), numbers(tables.decisions, "boundary_threshold")
    picked = np.flatnonzero(numbers(tables.decisions, "boundary_distance") == 0)
    top = min(1.0, _top(np.concatenate((score, threshold))))
    x, y = frame_scale(len(score)), Scale(0, top, HEIGHT, 0)
    return Panel(
        title="Boundary score",
        unit="",
        note=f"dashed: threshold {threshold[0]:.2f}; {len(picked)} picked",
        tone="scene",
        high=f"{top:.2f}",
        low="0",
        curves=(_curve(score, y),),
        level=svg.polyline([0, len(score)], [threshold[0], threshold[-1]], x, y),
        bands=svg.bands(svg.runs(flags(tables.decisions, "scene_label")), x),
        marks=svg.marks(picked + 0.5, x),
    )


def _acceleration_panels(kinematics: pa.Table, embodiment: Embodiment) -> list[Panel]:
    acceleration = vectors(kinematics, "acceleration")
    posed = vectors(kinematics, "linear_speed") is not None
    unit = "m and rad per s²" if posed else "rad per s²"
    if acceleration is None:
        return []
    names = _names([arm.name for arm in embodiment.arms], acceleration.shape[1])
    return [_acceleration_panel(values, name, unit) for name, values in zip(names, acceleration.T, strict=True)]


def _acceleration_panel(values: Floats, arm: str, unit: str) -> Panel:
    title = f"Acceleration, {arm}" if arm else "Acceleration"
    if not np.isfinite(values).any():
        return Panel(title, unit, "undefined: fewer than three frames", "action", high="", low="")
    mean, top = float(np.nanmean(values)), _top(values)
    x, y = frame_scale(len(values)), Scale(0, top, HEIGHT, 0)
    return Panel(
        title=title,
        unit=unit,
        note=f"dashed: mean {formats.significant(mean, 2)}",
        tone="action",
        high=formats.significant(top, 2),
        low="0",
        curves=(_curve(values, y),),
        level=svg.polyline([0, len(values)], [mean, mean], x, y),
        bands=svg.bands(svg.runs(np.nan_to_num(values) > mean), x),
    )


def _gripper_panel(openness: Floats, kinematics: pa.Table, embodiment: Embodiment) -> Panel:
    flips = np.flatnonzero(flags(kinematics, "gripper_flip"))
    y = Scale(0, 1, HEIGHT - 4, 4)  # air, so that a closed or open gripper is not hidden by the frame
    arms = _names([arm.name for arm in embodiment.arms if arm.gripper is not None], openness.shape[1])
    order = f"; {arms[0]} solid, {', '.join(arms[1:])} broken" if len(arms) > 1 else ""
    return Panel(
        title="Gripper opening",
        unit="0 closed, 1 open",
        note=f"{len(flips)} {'transition' if len(flips) == 1 else 'transitions'}{order}",
        tone="gripper",
        high="1",
        low="0",
        curves=tuple(_curve(values, y) for values in openness.T),
        marks=svg.marks(flips.astype(float), frame_scale(len(openness))),
    )


def _names(described: Sequence[str], count: int) -> list[str]:
    """Names to tell signals apart; none is needed for a single one."""
    if count == 1:
        return [""]
    return list(described) if len(described) == count else [f"arm {index + 1}" for index in range(count)]
