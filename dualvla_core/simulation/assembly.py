"""Joins recorded batches to one LeRobot v3.0 dataset and one set of visual questions, without touching an image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.lerobot_writer import EpisodeEntry, LeRobotWriter
from dualvla_core.episodes.splits import Split, splits_of
from dualvla_core.errors import DatasetError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.simulation.config import CaptureConfig
from dualvla_core.simulation.environment import THIRD_PERSON, WRIST
from dualvla_core.simulation.recording import ATTEMPTS, PHASES, STATS
from dualvla_core.simulation.scenes import suite_name
from dualvla_core.simulation.suites import SUITES, Suite

_UNSOLVED = "None of the recorded demonstrations was solved; raise max_steps or try other seeds."


@dataclass
class _Joined:
    """What has been collected from the batches so far."""

    phases: list[pa.Table] = field(default_factory=lambda: [PHASES.empty_table()])
    attempts: list[pa.Table] = field(default_factory=lambda: [ATTEMPTS.empty_table()])
    conversations: list[dict[str, Any]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    episodes: int = 0
    frames: int = 0


def assemble_dataset(
    params: CaptureConfig,
    held_out_fraction: float,
    batches: Sequence[Path],
    output: Path,
    progress: Progress = silent,
) -> Summary:
    """Join batch folders to ``output/demonstrations`` and ``output/multimodal``.

    Each batch becomes one data file and one video file per camera, so appending batches at the end leaves the earlier
    files of ``data/``, ``videos/`` and ``images/`` as they were; only metadata and lists are written anew.

    Args:
        params: how the batches were recorded.
        held_out_fraction: share of the initial conditions whose questions are held out.
        batches: folders written by `record_batch`, in the order of their episodes; new ones come last.
        output: an empty folder.
        progress: told the number of batches done.

    Returns:
        Counts of batches, attempts, episodes, frames and questions, those held out among them.

    Raises:
        DatasetError: when an initial condition occurs twice, no demonstration was solved, or a batch was recorded with
            other image sizes.
    """
    root = output / "demonstrations"
    suite = _suite_of(batches)
    by_camera = {THIRD_PERSON: params.image_size, WRIST: params.wrist_image_size}
    sizes = {camera: by_camera[camera] for camera in suite.cameras}
    writer = LeRobotWriter(
        root,
        fps=suite.control_hz,
        robot_type=suite.robot_type,
        vectors={"observation.state": suite.state, "action": suite.action},
        cameras={_feature(camera): (size, size) for camera, size in sizes.items()},
    )
    images = output / "multimodal" / "images"
    images.mkdir(parents=True)
    joined = _Joined()
    splits = splits_of(_conditions(batches), held_out_fraction)
    for done, batch in enumerate(batches, start=1):
        joined.attempts.append(pq.read_table(batch / "attempts.parquet"))
        episodes = pq.read_table(batch / "episodes.parquet").to_pylist()
        if episodes:
            _check(batch, episodes, sizes, joined.seen)
            videos = {_feature(camera): batch / f"{camera}.mp4" for camera in suite.cameras}
            writer.add(pq.read_table(batch / "signals.parquet"), videos, [_entry(row, suite) for row in episodes])
            _add_questions(batch, episodes, images, splits, joined)
            _add_phases(batch, joined)
            joined.episodes += len(episodes)
            joined.frames += sum(row["length"] for row in episodes)
        progress(done, len(batches))
    if not joined.episodes:
        raise DatasetError(_UNSOLVED)
    writer.close()
    labels = root / "labels"
    labels.mkdir()
    pq.write_table(pa.concat_tables(joined.phases), labels / "phases.parquet", compression="zstd")
    attempts = pa.concat_tables(joined.attempts)
    pq.write_table(attempts, labels / "attempts.parquet", compression="zstd")
    path = output / "multimodal" / "conversations.json"
    path.write_text(json.dumps(joined.conversations, indent=1) + "\n", encoding="utf-8")
    return {
        "batches": len(batches),
        "attempts": attempts.num_rows,
        "episodes": joined.episodes,
        "frames": joined.frames,
        "questions": len(joined.conversations),
        "held_out_questions": sum(entry["split"] == "held_out" for entry in joined.conversations),
    }


def _suite_of(batches: Sequence[Path]) -> Suite:
    attempts = [pq.read_table(batch / "attempts.parquet", columns=["task_name"])[0].to_pylist() for batch in batches]
    attempted = {task for tasks in attempts for task in tasks}
    if not attempted:
        raise DatasetError(_UNSOLVED)
    return SUITES[suite_name(attempted)]


def _conditions(batches: Sequence[Path]) -> Iterator[str]:
    for batch in batches:
        yield from pq.read_table(batch / "episodes.parquet", columns=["initial_condition"])[0].to_pylist()


def _feature(camera: str) -> str:
    return f"observation.images.{camera}"


def _check(batch: Path, episodes: Sequence[dict[str, Any]], sizes: dict[str, int], seen: set[str]) -> None:
    for row in episodes:
        if row["initial_condition"] in seen:
            raise DatasetError(
                f"The initial condition {row['initial_condition']} occurs in several batches; hand in each one once."
            )
        seen.add(row["initial_condition"])
    for camera, size in sizes.items():
        with av.open(str(batch / f"{camera}.mp4")) as container:
            width = container.streams.video[0].width
        if width != size:
            raise DatasetError(
                f"A batch was recorded with {camera} images of {width} px, expected {size} px; record it again."
            )


def _entry(row: dict[str, Any], suite: Suite) -> EpisodeEntry:
    """The dataset's entry of a batch's episode; image statistics get back their shape ``[3, 1, 1]``."""
    stats = {
        _feature(camera): {
            stat: np.array(row[f"stats/{camera}/{stat}"]).reshape(-1, 1, 1)
            if stat != "count"
            else np.array(row[f"stats/{camera}/count"], np.int64)
            for stat in STATS
        }
        for camera in suite.cameras
    }
    extra = {name: row[name] for name in ("task_name", "initial_condition", "success")}
    return EpisodeEntry(row["length"], row["instruction"], extra, stats)


def _add_phases(batch: Path, joined: _Joined) -> None:
    phases = pq.read_table(batch / "phases.parquet")
    numbers = pa.array(phases["episode_index"].to_numpy() + joined.episodes)
    joined.phases.append(phases.set_column(0, PHASES.field("episode_index"), numbers))


def _add_questions(
    batch: Path, episodes: Sequence[dict[str, Any]], images: Path, splits: Mapping[str, Split], joined: _Joined
) -> None:
    """LLaVA-style conversations; images are named by initial condition and frame, so those of two questions agree."""
    for number, row in enumerate(pq.read_table(batch / "questions.parquet").to_pylist()):
        condition = episodes[row["episode_index"]]["initial_condition"]
        name = f"{condition.replace('/', '-')}-{row['frame_index']:04d}"
        (images / f"{name}.jpg").write_bytes(row["image"])
        joined.conversations.append(
            {
                "id": f"{name}-{number:04d}",
                "image": f"images/{name}.jpg",
                "split": splits[condition],
                "category": row["category"],
                "conversations": [
                    {"from": "human", "value": f"<image>\n{row['question']}"},
                    {"from": "gpt", "value": row["answer"]},
                ],
            }
        )
