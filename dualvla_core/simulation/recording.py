"""Records batches of expert demonstrations: videos, signals with reasoning, true phases and visual questions.

A batch folder holds the solved demonstrations of one task one after another, with episode numbers of its own:
``<camera>.mp4``, ``signals.parquet``, ``episodes.parquet``, ``phases.parquet``, ``questions.parquet``, and
``attempts.parquet`` with every seed, those that failed included. `assembly` joins batches to one dataset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.lerobot_writer import LANGUAGE_TYPES, QUANTILES, image_stats, language_columns
from dualvla_core.episodes.splits import initial_condition
from dualvla_core.episodes.video_encoder import VideoEncoder
from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.simulation.config import CaptureConfig
from dualvla_core.simulation.environment import THIRD_PERSON, Action, Camera, Environment, Expert, Image, Observation
from dualvla_core.simulation.narration import instruction_of, narrate
from dualvla_core.simulation.phases import phase_changes, phases_of
from dualvla_core.simulation.questions import ask, facts_of
from dualvla_core.simulation.scenes import scene_of
from dualvla_core.simulation.suites import Suite, suite_of

STATS = ("min", "max", "mean", "std", "count", *QUANTILES)

PHASES = pa.schema(
    [pa.field("episode_index", pa.int64()), pa.field("frame_index", pa.int32()), pa.field("phase", pa.string())]
)
QUESTIONS = pa.schema(
    [
        pa.field("episode_index", pa.int64()),
        pa.field("frame_index", pa.int32()),
        pa.field("category", pa.string()),
        pa.field("question", pa.string()),
        pa.field("answer", pa.string()),
        pa.field("image", pa.binary()),  # JPEG of the third-person camera
    ]
)
ATTEMPTS = pa.schema(
    [
        pa.field("task_name", pa.string()),
        pa.field("seed", pa.int64()),
        pa.field("initial_condition", pa.string()),
        pa.field("success", pa.bool_()),
        pa.field("steps", pa.int64()),  # control steps
        pa.field("reason", pa.string()),  # why it was left out; null when it was kept
    ]
)


def signals_schema(suite: Suite) -> pa.Schema:
    """One row per frame of a batch."""
    return pa.schema(
        [
            pa.field("episode_index", pa.int64()),
            pa.field("observation.state", pa.list_(pa.float32(), len(suite.state))),
            pa.field("action", pa.list_(pa.float32(), len(suite.action))),
            *(pa.field(name, kind) for name, kind in LANGUAGE_TYPES.items()),
        ]
    )


def episodes_schema(suite: Suite) -> pa.Schema:
    """One row per solved demonstration of a batch."""
    return pa.schema(
        [
            pa.field("episode_index", pa.int64()),
            pa.field("length", pa.int64()),  # frames
            pa.field("from_timestamp", pa.float64()),  # s in the batch's videos
            pa.field("to_timestamp", pa.float64()),
            pa.field("instruction", pa.string()),
            pa.field("task_name", pa.string()),
            pa.field("seed", pa.int64()),
            pa.field("initial_condition", pa.string()),
            pa.field("success", pa.bool_()),
            *(pa.field(f"stats/{camera}/{stat}", pa.list_(pa.float64())) for camera in suite.cameras for stat in STATS),
        ]
    )


@dataclass(frozen=True)
class Demonstration:
    """One attempt of the expert: T moments, and the action it took at each."""

    task: str
    seed: int
    frames: Sequence[Observation]
    actions: Sequence[Action]
    phases: Sequence[str]
    """What the expert pursued at each moment."""
    solved: bool
    """Whether the task was solved, and where the suite asks for it, still is at the end."""

    def images(self, camera: str) -> Iterator[Image]:
        """The camera's images ``[H, W, 3]``, frame after frame."""
        return (frame.images[camera] for frame in self.frames)


def demonstrate(environment: Environment, expert: Expert, task: str, seed: int, params: CaptureConfig) -> Demonstration:
    """Let the expert attempt one initial condition; it goes on for `frames_after_success` frames once it is done."""
    environment.reset(seed)
    expert.begin()
    frames: list[Observation] = []
    actions: list[Action] = []
    pursued: list[str] = []
    still_solved = False
    left = max(params.frames_after_success, 1)  # the first successful moment is always kept: it shows the outcome
    while len(frames) <= params.max_steps and left:
        frames.append(environment.observe())
        still_solved = environment.solved
        actions.append(expert.act())
        if expert.phase is not None:
            pursued.append(expert.phase)
        environment.step(actions[-1])
        left -= frames[-1].success and expert.finished
    solved = frames[-1].success and (still_solved or not suite_of(task).stays_solved)
    return Demonstration(task, seed, frames, actions, pursued or phases_of(task, frames), solved)


def record_batch(
    params: CaptureConfig, task: str, seeds: Sequence[int], output: Path, progress: Progress = silent
) -> Summary:
    """Record one demonstration per seed and write them as a batch folder.

    Args:
        params: how to record; what it says beyond `CaptureConfig` has no influence here.
        task: one of the recorded tasks, such as ``drawer-open``.
        seeds: initial conditions, in the order in which they become episodes.
        output: an empty folder.
        progress: told the number of attempts done.

    Returns:
        Counts of attempts, episodes, frames and questions, and the expert's success rate.

    Raises:
        ConfigError: for an unknown task, or seeds that are none or repeat.
        DependencyError: when simulation or software rendering cannot be loaded.
    """
    if not seeds or len(set(seeds)) < len(seeds):
        raise ConfigError(f"A batch needs seeds that differ from one another, found {list(seeds)}.")
    batch = _Batch(params, task, output)
    suite = suite_of(task)
    environment = suite.make(task, params.image_size, params.wrist_image_size)
    try:
        expert = suite.hire(task, environment)
        for done, seed in enumerate(seeds, start=1):
            batch.add(demonstrate(environment, expert, task, seed, params), environment.third_person)
            progress(done, len(seeds))
    finally:
        environment.close()
    return batch.close()


class _Batch:
    """The tables and videos of a batch while it grows."""

    def __init__(self, params: CaptureConfig, task: str, output: Path) -> None:
        self._params = params
        self._scene = scene_of(task)
        self._suite = suite_of(task)
        self._output = output
        self._videos: dict[str, VideoEncoder] = {}
        self._signals: list[pa.Table] = []
        self._episodes: list[dict[str, Any]] = []
        self._phases: list[dict[str, Any]] = []
        self._questions: list[dict[str, Any]] = []
        self._attempts: list[dict[str, Any]] = []
        self._frames = 0

    def add(self, demonstration: Demonstration, camera: Camera) -> None:
        task, seed = demonstration.task, demonstration.seed
        solved = demonstration.solved
        self._attempts.append(
            {
                "task_name": task,
                "seed": seed,
                "initial_condition": initial_condition(task, seed),
                "success": solved,
                "steps": len(demonstration.frames) - 1,
                "reason": None if solved else f"not solved within {self._params.max_steps} control steps",
            }
        )
        if solved:
            self._add_solved(demonstration, camera)

    def _add_solved(self, demonstration: Demonstration, camera: Camera) -> None:
        task, seed, frames = demonstration.task, demonstration.seed, demonstration.frames
        index, length = len(self._episodes), len(frames)
        phases, fps = demonstration.phases, self._suite.control_hz
        self._signals.append(_signals(demonstration, index))
        row: dict[str, Any] = {
            "episode_index": index,
            "length": length,
            "from_timestamp": self._frames / fps,
            "to_timestamp": (self._frames + length) / fps,
            "instruction": instruction_of(task, seed),
            "task_name": task,
            "seed": seed,
            "initial_condition": initial_condition(task, seed),
            "success": True,
        }
        for name in self._suite.cameras:
            self._video(name).write_episode(demonstration.images(name))
            stats = image_stats(demonstration.images(name))
            row |= {f"stats/{name}/{stat}": stats[stat].ravel() for stat in STATS}
        self._episodes.append(row)
        self._phases += [
            {"episode_index": index, "frame_index": frame, "phase": phase} for frame, phase in phase_changes(phases)
        ]
        self._ask(demonstration, camera, index)
        self._frames += length

    def _ask(self, demonstration: Demonstration, camera: Camera, index: int) -> None:
        frames = demonstration.frames
        facts = [facts_of(self._scene, camera, frame, frames[0]) for frame in frames]
        key = initial_condition(demonstration.task, demonstration.seed)
        for frame, question in ask(facts, self._params.questions_per_episode, key):
            self._questions.append(
                {
                    "episode_index": index,
                    "frame_index": frame,
                    "category": question.category,
                    "question": question.text,
                    "answer": question.answer,
                    "image": _jpeg(frames[frame].images[THIRD_PERSON], self._params.jpeg_quality),
                }
            )

    def _video(self, camera: str) -> VideoEncoder:
        if camera not in self._videos:  # opened late: a batch without a solved demonstration has no videos
            params = self._params
            size = params.image_size if camera == THIRD_PERSON else params.wrist_image_size
            path = self._output / f"{camera}.mp4"
            fps = self._suite.control_hz
            self._videos[camera] = VideoEncoder(path, (size, size), fps, params.video_crf, params.video_gop)
        return self._videos[camera]

    def close(self) -> Summary:
        for video in self._videos.values():
            video.close()
        _write(
            pa.concat_tables([signals_schema(self._suite).empty_table(), *self._signals]),
            self._output / "signals.parquet",
        )
        for name, rows, schema in (
            ("episodes", self._episodes, episodes_schema(self._suite)),
            ("phases", self._phases, PHASES),
            ("questions", self._questions, QUESTIONS),
            ("attempts", self._attempts, ATTEMPTS),
        ):
            _write(pa.Table.from_pylist(rows, schema=schema), self._output / f"{name}.parquet")
        return {
            "attempts": len(self._attempts),
            "episodes": len(self._episodes),
            "frames": self._frames,
            "questions": len(self._questions),
            "success_rate": len(self._episodes) / len(self._attempts),
        }


def _signals(demonstration: Demonstration, index: int) -> pa.Table:
    frames, suite = demonstration.frames, suite_of(demonstration.task)
    rows = narrate(demonstration.task, demonstration.seed, frames, demonstration.phases, suite)
    columns = {
        "episode_index": pa.array(np.full(len(frames), index)),
        "observation.state": _vectors([frame.state for frame in frames]),
        "action": _vectors(demonstration.actions),
        **language_columns(rows, len(frames)),
    }
    return pa.table(columns, schema=signals_schema(suite))


def _vectors(values: Sequence[Action]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(values)), len(values[0]))


def _jpeg(image: Image, quality: int) -> bytes:
    encoded, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not encoded:
        raise DependencyError("OpenCV cannot write JPEG images here; install the package opencv-python.")
    return data.tobytes()


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd")
