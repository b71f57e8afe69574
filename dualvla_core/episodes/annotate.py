"""Stage: give the frames of a segment embodied reasoning, from annotation files or from their motion."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core.episodes.annotation_files import ANNOTATIONS_FILE
from dualvla_core.episodes.config import AnnotateConfig
from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.motion import motion_texts
from dualvla_core.episodes.segment import REASONING_FILE, Segment
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import ANNOTATED, ANNOTATIONS

_Pieces = list[dict[str, Any]]


def annotate_reasoning(
    params: AnnotateConfig, segment: Path, annotations: Path | None, output: Path, progress: Progress = silent
) -> Summary:
    """Write ``reasoning.parquet`` (`schemas.ANNOTATED`) for every frame of ``segment``, in its order.

    A demonstration keeps the reasoning it came with; what the annotation files (``annotations``, the folder that
    `read_annotations` wrote) say about it follows. One that has neither gets move primitives of the style ``motion``
    where ``params.motions`` asks for them and every arm has an end-effector pose.
    """
    opened = Segment(segment)
    said: dict[str, _Pieces] = defaultdict(list)
    for row in annotations_of(annotations, opened.episodes["episode"].to_pylist()):
        said[row["episode"]].append(row)
    counts: Summary = {"episodes": len(opened), "annotated": 0, "derived": 0}
    tables = []
    for position, episode in enumerate(opened.episodes["episode"].to_pylist()):
        signals = opened.signals(position)
        reasoning = signals.column("reasoning")
        if episode in said:
            reasoning = pa.array(_with(reasoning.to_pylist(), said[episode]), ANNOTATED.field("reasoning").type)
            counts["annotated"] = int(counts["annotated"]) + 1
        elif params.motions and reasoning.null_count == len(reasoning) and opened.embodiment.has_ee_pose:
            reasoning = _motions(params, signals, opened.embodiment)
            counts["derived"] = int(counts["derived"]) + 1
        tables.append(pa.table([signals.column("episode"), signals.column("frame_index"), reasoning], schema=ANNOTATED))
        progress(position + 1, len(opened))
    pq.write_table(pa.concat_tables([ANNOTATED.empty_table(), *tables]), output / REASONING_FILE, compression="zstd")
    return counts


def annotations_of(annotations: Path | None, episodes: list[str]) -> list[dict[str, Any]]:
    """The rows of `schemas.ANNOTATIONS` about ``episodes``; none without a folder."""
    if annotations is None:
        return []
    wanted = pc.field("episode").isin(episodes)
    rows: list[dict[str, Any]] = pq.read_table(
        annotations / ANNOTATIONS_FILE, schema=ANNOTATIONS, filters=wanted
    ).to_pylist()
    return rows


def _with(own: list[_Pieces | None], extra: _Pieces) -> list[_Pieces]:
    """What frames carried themselves, then what is said of the episode, then what is said of the frame."""
    by_frame: dict[int | None, _Pieces] = defaultdict(list)
    for row in extra:
        by_frame[row["frame_index"]].append({name: row[name] for name in ("style", "content", "question")})
    return [(pieces or []) + by_frame[None] + by_frame[frame] for frame, pieces in enumerate(own)]


def _motions(params: AnnotateConfig, signals: pa.RecordBatch, embodiment: Embodiment) -> pa.Array:
    def matrix(name: str) -> np.ndarray[Any, np.dtype[np.float64]] | None:
        column = signals.column(name)
        if column.null_count:
            return None
        return np.asarray(column.flatten(), np.float64).reshape(len(column), -1)

    poses = matrix("ee_pose")
    assert poses is not None, "an embodiment with poses decodes poses"
    texts = motion_texts(params, poses, matrix("gripper"), signals.column("timestamp").to_numpy(), embodiment)
    pieces = [[{"style": "motion", "content": text, "question": None}] for text in texts]
    return pa.array(pieces, ANNOTATED.field("reasoning").type)
