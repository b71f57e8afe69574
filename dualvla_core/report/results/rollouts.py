"""Rollouts as short videos, each with what the policy said in it on a timeline."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dualvla_core.episodes.video_encoder import VideoEncoder
from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.trajectory import Frame, Trajectory, Utterance, read_trajectories
from dualvla_core.report.config import ReportParams
from dualvla_core.report.context import TrainedPolicy
from dualvla_core.report.thumbnails import data_uri
from dualvla_core.simulation.environment import Image


@dataclass(frozen=True)
class Said:
    """A text from ``start`` to ``stop`` (control steps); ``left`` and ``width`` in percent of the rollout."""

    start: int
    stop: int
    text: str
    left: float
    width: float


@dataclass(frozen=True)
class Clip:
    """One rollout: the moments that were recorded as a video, whose image ``i`` was seen after ``moments[i]`` steps."""

    policy: str
    number: int
    task: str
    seed: int
    instruction: str
    success: bool
    steps: int
    moments: tuple[int, ...]
    fps: int
    poster: str
    video: str
    said: tuple[Said, ...]


@dataclass(frozen=True)
class TaskClips:
    """The clips of one task, policy after policy."""

    task: str
    clips: tuple[Clip, ...]


def draw_rollouts(policies: Sequence[TrainedPolicy], params: ReportParams) -> tuple[TaskClips, ...]:
    """For each of the first tasks and each policy, its first success and its first failure, where they exist.

    Raises `ArtifactError` when rollouts cannot be read.
    """
    by_task: dict[str, list[Clip]] = {}
    for number, policy in enumerate(policies):
        if policy.rollouts is None:
            continue
        for trajectory in first_of_each_outcome(read_trajectories(policy.rollouts)):
            if trajectory.task in by_task or len(by_task) < params.rollout_tasks:
                by_task.setdefault(trajectory.task, []).append(_clip(policy.name, number, trajectory, params))
    return tuple(TaskClips(task, tuple(clips)) for task, clips in by_task.items())


def first_of_each_outcome(trajectories: Iterator[Trajectory]) -> list[Trajectory]:
    """Per task, its first success and its first failure, in this order."""
    found: dict[tuple[str, bool], Trajectory] = {}
    tasks: dict[str, None] = {}
    for trajectory in trajectories:
        tasks.setdefault(trajectory.task)
        found.setdefault((trajectory.task, trajectory.success), trajectory)
    return [found[task, success] for task in tasks for success in (True, False) if (task, success) in found]


def timeline(reasoning: Sequence[Utterance], steps: int) -> tuple[Said, ...]:
    """What was said, until something else was or the rollout of ``steps`` control steps ended."""
    changed = [each for index, each in enumerate(reasoning) if index == 0 or each.text != reasoning[index - 1].text]
    ends = [*(each.step for each in changed[1:]), steps][: len(changed)]
    return tuple(
        Said(each.step, stop, each.text, 100 * each.step / steps, 100 * (stop - each.step) / steps)
        for each, stop in zip(changed, ends, strict=True)
    )


def encode_video(frames: Sequence[Frame], fps: int, crf: int) -> bytes:
    """MP4 (H.264) of square JPEG images, one per ``1 / fps`` s. Raises `ArtifactError` for an image that is none."""
    images = [_decoded(frame) for frame in frames]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rollout.mp4"
        encoder = VideoEncoder(path, size=images[0].shape[:2], fps=fps, crf=crf, gop=len(images))
        encoder.write_episode(images)
        encoder.close()
        return path.read_bytes()


def _clip(policy: str, number: int, trajectory: Trajectory, params: ReportParams) -> Clip:
    video = encode_video(trajectory.frames, params.video_fps, params.video_crf)
    return Clip(
        policy=policy,
        number=number,
        task=trajectory.task,
        seed=trajectory.seed,
        instruction=trajectory.instruction,
        success=trajectory.success,
        steps=trajectory.steps,
        moments=tuple(frame.step for frame in trajectory.frames),
        fps=params.video_fps,
        poster=data_uri(trajectory.frames[-1].image),
        video="data:video/mp4;base64," + base64.b64encode(video).decode("ascii"),
        said=timeline(trajectory.reasoning, trajectory.steps),
    )


def _decoded(frame: Frame) -> Image:
    pixels = cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR_RGB) if frame.image else None
    if pixels is None:
        raise ArtifactError(f"The image at step {frame.step} of a rollout cannot be decoded; run the rollouts again.")
    return np.asarray(pixels, np.uint8)
