"""Writes recordings for the rerun viewer (the extra `view`)."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dualvla_core.errors import DependencyError
from dualvla_core.pruning.timeline import Timeline

if TYPE_CHECKING:
    import rerun.blueprint as rrb

PANELS = {"Scene layer": "scene", "Action layer": "action", "Gripper": "gripper", "Decision": "decision"}
"""Time series views by title, and what their paths begin with."""


def write_recording(timeline: Timeline, path: Path) -> None:
    """Write ``path`` (``.rrd``): cameras, signals and texts of an episode, with a layout that shows them side by side.

    Raises `DependencyError` when rerun is not installed.
    """
    if find_spec("rerun") is None:
        raise DependencyError("Viewing needs rerun-sdk, which is not installed; run `pip install dualvla[view]`.")
    import rerun as rr  # noqa: PLC0415 - an optional dependency, loaded where it is needed

    recording = rr.RecordingStream("dualvla", recording_id=timeline.episode)
    recording.save(path, default_blueprint=_layout(timeline))
    frames = np.arange(len(timeline.times))
    clocks = [rr.TimeColumn("time", duration=timeline.times), rr.TimeColumn("frame", sequence=frames)]
    for camera, images in timeline.images.items():
        blobs = rr.EncodedImage.columns(blob=list(images), media_type=["image/jpeg"] * len(images))
        rr.send_columns(f"cameras/{camera}", clocks, blobs, recording=recording)
    for name, values in timeline.signals.items():
        recording.log(name, rr.SeriesLines(names=name.partition("/")[2]), static=True)
        rr.send_columns(name, clocks, rr.Scalars.columns(scalars=values), recording=recording)
    for name, texts in timeline.texts.items():
        for frame, text in texts:
            recording.set_time("time", duration=timeline.times[frame])
            recording.set_time("frame", sequence=frame)
            recording.log(name, rr.TextDocument(text))
    recording.log("instruction", rr.TextDocument(timeline.instruction), static=True)
    recording.flush()
    recording.disconnect()


def _layout(timeline: Timeline) -> rrb.Blueprint:
    import rerun.blueprint as rrb  # noqa: PLC0415

    present = {name.partition("/")[0] for name in timeline.signals}
    cameras = [rrb.Spatial2DView(origin=f"cameras/{camera}", name=camera) for camera in timeline.images]
    texts = [rrb.TextDocumentView(origin=name, name=name) for name in ("instruction", *timeline.texts)]
    series = [rrb.TimeSeriesView(origin=path, name=title) for title, path in PANELS.items() if path in present]
    left = rrb.Vertical(rrb.Grid(*cameras), rrb.Grid(*texts))
    return rrb.Blueprint(rrb.Horizontal(left, rrb.Vertical(*series)), collapse_panels=True)
