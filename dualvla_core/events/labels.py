"""Labelled event boundaries: from a simulator, by hand, or annotated for the GEBD benchmark; one table of them all."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.splits import position_of
from dualvla_core.errors import ConfigError, DatasetError
from dualvla_core.events.config import CalibrationConfig
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import COLLECTION, EVENT_LABELS

LABELS_FILE = "labels.parquet"
Part: TypeAlias = Literal["train", "calibrate", "test"]


class LabelledEpisode(NamedTuple):
    """One episode whose event boundaries are known."""

    episode: str
    initial_condition: str
    """What decides which part an episode falls to: the same start is never in two of them."""
    task: str
    length: int
    """Frames."""
    fps: float
    """Hz."""
    boundaries: tuple[int, ...]
    """The first frames of new phases, ascending; may be none."""


def label_boundaries(collection: Path, labels: Path, output: Path, progress: Progress = silent) -> Summary:
    """Write ``labels.parquet`` (`schemas.EVENT_LABELS`): the labelled episodes of ``collection``.

    ``labels`` is a simulator's ``phases.parquet``, or a JSON file by hand or of GEBD annotations (see
    `read_json_labels`).

    Raises `DatasetError` when no episode of the collection is labelled, or a label lies outside its episode.
    """
    episodes = pq.read_table(collection / "collection.parquet", schema=COLLECTION).to_pylist()
    if labels.suffix == ".parquet":
        by_name, names_all = _simulator_phases(labels), True
    else:
        by_name, names_all = read_json_labels(labels), False
    rows = []
    for episode in episodes:
        known = next((by_name[name] for name in _names(episode) if name in by_name), [] if names_all else None)
        if known is not None:
            frames = sorted({round(value * episode["fps"] if in_seconds else value) for value, in_seconds in known})
            _check(frames, episode)
            row = {name: episode[name] for name in ("episode", "task", "initial_condition", "length", "fps")}
            rows.append({**row, "boundaries": frames})
    if not rows:
        raise DatasetError(
            f"None of the {len(episodes)} episodes is labelled in {labels.name}; name episodes by their number in the "
            "dataset, their digest or their initial condition."
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=EVENT_LABELS), output / LABELS_FILE, compression="zstd")
    progress(len(rows), len(rows))
    return {"episodes": len(rows), "boundaries": sum(len(row["boundaries"]) for row in rows)}


def read_labels(folder: Path) -> list[LabelledEpisode]:
    """The labelled episodes that `label_boundaries` wrote into ``folder``, in the collection's order."""
    table = pq.read_table(folder / LABELS_FILE, schema=EVENT_LABELS)
    return [LabelledEpisode(**{**row, "boundaries": tuple(row["boundaries"])}) for row in table.to_pylist()]


def part_of(params: CalibrationConfig, initial_condition: str) -> Part:
    """What a labelled episode serves for: learning, calibration or testing, by a hash of its initial condition."""
    position = position_of(initial_condition)
    if position < params.test_fraction:
        return "test"
    return "calibrate" if position < params.test_fraction + params.calibration_fraction else "train"


def choose(params: CalibrationConfig, labelled: Sequence[LabelledEpisode], part: Part) -> list[LabelledEpisode]:
    """The episodes of one part. Raises `ConfigError` when there is none."""
    chosen = [each for each in labelled if part_of(params, each.initial_condition) == part]
    if not chosen:
        raise ConfigError(
            f"None of the {len(labelled)} labelled episodes falls to the part {part!r}; label more of them, or change "
            "events_training.calibration's fractions."
        )
    return chosen


def by_task(
    labelled: Sequence[LabelledEpisode], held_out: Sequence[str]
) -> tuple[list[LabelledEpisode], list[LabelledEpisode]]:
    """The episodes of other tasks, and those of the tasks ``held_out``. Raises `ConfigError` for an unknown task."""
    known = sorted({each.task for each in labelled})
    unknown = sorted(set(held_out) - set(known))
    if unknown:
        raise ConfigError(
            f"No labelled episode is of the task {unknown[0]!r}; the labelled tasks are {known}: choose those to hold "
            "out from among them in events_training.held_out_tasks."
        )
    others = [each for each in labelled if each.task not in held_out]
    return others, [each for each in labelled if each.task in held_out]


def read_json_labels(path: Path) -> dict[str, list[tuple[float, bool]]]:
    """Boundaries by episode name from a JSON file, each a value and whether that is in seconds (else frames).

    Two forms are read. By hand: ``{"unit": "frames" or "seconds", "episodes": {"0": [24, 66], "7": []}}``. Annotations
    of Kinetics-GEBD, converted to JSON: ``{video: {"substages_timestamps": [[s, ...], ...], "f1_consis": [...]}}``, of
    which the rater who agrees best with the others counts, as in DDM-Net's training.

    Raises `DatasetError` when the file is neither; pickled annotations are refused, for unpickling runs their code.
    """
    if path.suffix in (".pkl", ".pickle"):
        raise DatasetError(
            f"{path.name} is pickled, and reading it would run whatever code is in it; convert it to JSON where you "
            "trust it (docs/event-boundaries.md says how)."
        )
    try:
        found = json.loads(path.read_text())
        if "episodes" in found:
            in_seconds = {"frames": False, "seconds": True}[found["unit"]]
            return {
                str(name): [(_number(value), in_seconds) for value in values]
                for name, values in found["episodes"].items()
            }
        return {str(video): [(_number(value), True) for value in _best_rater(each)] for video, each in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(
            f"{path} is no file of event boundaries ({type(error).__name__}: {error}); expected "
            '{"unit": "frames", "episodes": {"0": [24, 66]}} or GEBD annotations as JSON.'
        ) from error


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no time")
    return float(value)


def _best_rater(annotation: Mapping[str, Any]) -> Sequence[float]:
    raters: Sequence[Sequence[float]] = annotation["substages_timestamps"]
    return raters[int(np.argmax(annotation["f1_consis"]))]


def _simulator_phases(path: Path) -> dict[str, list[tuple[float, bool]]]:
    phases: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    try:
        rows = pq.read_table(path, columns=["episode_index", "frame_index"]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise DatasetError(
            f"{path} is no table of a simulator's phases (columns episode_index, frame_index); record the "
            "demonstrations with `dualvla`, or label episodes in a JSON file."
        ) from error
    for row in rows:
        phases[str(row["episode_index"])].append((row["frame_index"], False))
    return phases


def _names(episode: Mapping[str, Any]) -> tuple[str, str, str]:
    return episode["episode"], str(episode["episode_index"]), episode["initial_condition"]


def _check(frames: Sequence[int], episode: Mapping[str, Any]) -> None:
    outside = next((frame for frame in frames if not 0 <= frame < episode["length"]), None)
    if outside is not None:
        raise DatasetError(
            f"A boundary is labelled at frame {outside} of episode {episode['episode_index']}, which has "
            f"{episode['length']} frames; correct the label or its unit."
        )
