"""Ranges of frames beside the original dataset, for trainers that read it as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dualvla_core.episodes.segment import Segment
from dualvla_core.exports.config import ExportConfig
from dualvla_core.exports.source import PrunedSegment, episodes_of, kept_frames
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent


def export_keep_ranges(
    params: ExportConfig, collection: Path, segments: Sequence[PrunedSegment], output: Path, progress: Progress = silent
) -> Summary:
    """Write ``keep_ranges.json``: per episode number the half-open ranges ``[start, stop)`` of frames that keep their
    reasoning.

    The layout is that of openpi's filter for DROID, ``{episode: [[start, stop], ...]}``. There it says which frames are
    trained on at all; here every frame is, and the ranges say where to reason.
    """
    ranges: dict[str, list[list[int]]] = {}
    opened = [(pruned, Segment(pruned.segment)) for pruned in segments]
    for done, (pruned, segment) in enumerate(opened, start=1):
        keep = kept_frames(pruned, segment)
        for row in episodes_of(params, collection, pruned.key):
            ranges[str(row["episode_index"])] = _ranges(keep[row["position"]])
        progress(done, len(opened))
    ordered = dict(sorted(ranges.items(), key=lambda item: int(item[0])))
    (output / "keep_ranges.json").write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    kept = sum(stop - start for episode in ordered.values() for start, stop in episode)
    return {"episodes": len(ordered), "ranges": sum(map(len, ordered.values())), "kept": kept}


def _ranges(keep: NDArray[np.bool_]) -> list[list[int]]:
    frames = enumerate(keep.tolist())
    runs = [[frame for frame, _ in run] for kept, run in groupby(frames, key=lambda item: item[1]) if kept]
    return [[run[0], run[-1] + 1] for run in runs]
