"""Everything known of one curated episode over one time axis, for a viewer to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.episodes.reasoning import render_reasoning
from dualvla_core.episodes.segment import Segment
from dualvla_core.pruning.inputs import read_aligned
from dualvla_core.schemas import BOUNDARIES, DECISIONS, KINEMATICS

Series = NDArray[np.float64]


class CuratedFolders(NamedTuple):
    """A segment and what was computed from it."""

    segment: Path
    boundaries: Path
    kinematics: Path
    decisions: Path
    reasoning: Path | None = None
    """Of `annotate_reasoning`, where some was added."""


class Utterance(NamedTuple):
    """A text that holds from a frame on."""

    frame: int
    text: str


class Timeline(NamedTuple):
    """One episode of ``T`` frames; names are paths such as ``action/arm/jerk``."""

    episode: str
    instruction: str
    times: Series
    """``[T]`` s since the first frame."""
    images: Mapping[str, Sequence[bytes]]
    """Per camera ``T`` encoded images."""
    signals: Mapping[str, Series]
    """Per name ``[T]``; NaN where undefined."""
    texts: Mapping[str, Sequence[Utterance]]
    """Per name what is said from which frame on; an empty text ends the one before."""


def episode_timeline(folders: CuratedFolders, position: int) -> Timeline:
    """The episode at ``position`` of a segment. Raises `ArtifactError` when the tables are about other frames."""
    segment = Segment(folders.segment, folders.reasoning)
    lengths = segment.episodes["length"].to_numpy()
    start, length = int(lengths[:position].sum()), int(lengths[position])

    def rows(folder: Path, name: str, schema: pa.Schema) -> pa.Table:
        return read_aligned(folder / name, schema, segment).slice(start, length)

    scores = rows(folders.boundaries, "boundaries.parquet", BOUNDARIES)
    motion = rows(folders.kinematics, "kinematics.parquet", KINEMATICS)
    decisions = rows(folders.decisions, "decisions.parquet", DECISIONS)
    signals = segment.signals(position)
    keep = decisions["keep"].to_pylist()
    said = [
        render_reasoning([(piece["style"], piece["content"]) for piece in pieces or ()])
        for pieces in signals.column("reasoning").to_pylist()
    ]
    return Timeline(
        episode=signals.column("episode")[0].as_py(),
        instruction=signals.column("instruction")[0].as_py(),
        times=signals.column("timestamp").to_numpy(),
        images={camera: segment.images(position, camera) for camera in segment.cameras},
        signals=_scene(scores, decisions) | _action(motion, decisions, segment) | _gripper(signals, decisions, segment),
        texts={
            "reasoning/before": utterances(said),
            "reasoning/kept": utterances([text if kept else "" for text, kept in zip(said, keep, strict=True)]),
            "decision/rule": utterances(decisions["rule"].to_pylist()),
        },
    )


def utterances(texts: Sequence[str]) -> list[Utterance]:
    """The frames at which a per-frame text ``[T]`` changes, and to what; it begins empty."""
    runs = [(text, next(frames)[0]) for text, frames in groupby(enumerate(texts), key=lambda item: item[1])]
    return [Utterance(frame, text) for number, (text, frame) in enumerate(runs) if number or text]


def _scene(scores: pa.Table, decisions: pa.Table) -> dict[str, Series]:
    return {
        "scene/score": _column(scores["score"]),
        "scene/threshold": _column(decisions["boundary_threshold"]),
        "scene/label": _column(decisions["scene_label"]),
        "decision/keep": _column(decisions["keep"]),
    }


def _action(motion: pa.Table, decisions: pa.Table, segment: Segment) -> dict[str, Series]:
    found = {"action/label": _column(decisions["action_label"])}
    quantities = ("acceleration", "jerk", "linear_speed", "angular_speed", "joint_speed")
    for name in (name for name in quantities if motion[name].null_count == 0):
        values = np.array(motion[name].to_pylist(), np.float64)
        for arm, column in zip(segment.embodiment.arms, values.T, strict=True):
            found[f"action/{arm.name}/{name}"] = column
    for arm in segment.embodiment.arms:
        acceleration = found[f"action/{arm.name}/acceleration"]
        defined = acceleration[np.isfinite(acceleration)]
        mean = defined.mean() if len(defined) else np.nan
        found[f"action/{arm.name}/mean_acceleration"] = np.full(len(acceleration), mean)
    return found


def _gripper(signals: pa.RecordBatch, decisions: pa.Table, segment: Segment) -> dict[str, Series]:
    if signals.column("gripper").null_count:
        return {}
    found = {"gripper/transition": _column(decisions["gripper_flip"])}
    values = np.array(signals.column("gripper").to_pylist(), np.float64)
    names = [arm.name for arm in segment.embodiment.arms if arm.gripper is not None]
    return found | {f"gripper/{name}": column for name, column in zip(names, values.T, strict=True)}


def _column(values: pa.ChunkedArray) -> Series:
    return np.asarray(values.to_numpy(), np.float64)
