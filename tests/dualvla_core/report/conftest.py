"""Curated segments whose decisions are chosen by hand, frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core import schemas
from dualvla_core.report.context import CuratedSegment, EpisodeContext, ReportContext
from dualvla_core.report.model import DatasetFacts


@dataclass(frozen=True)
class HandMade:
    """One episode: a letter per frame says what was decided.

    ``K`` both labels and kept, ``s`` scene label only, ``a`` action label only, ``.`` neither, ``F`` neither but kept.
    """

    name: str
    frames: str
    words: int = 0  # of reasoning on every frame; 0 for none
    boundaries: tuple[int, ...] = ()
    flips: tuple[int, ...] = ()


_RULES = {
    "K": "kept: event boundary and acceleration",
    "s": "dropped: steady motion",
    "a": "dropped: no event boundary",
    ".": "dropped: no event boundary and steady motion",
    "F": "kept: first frame",
}


def _distance(frame: int, boundaries: Sequence[int]) -> int | None:
    return min((abs(frame - boundary) for boundary in boundaries), default=None)


def _decisions(episode: HandMade) -> list[dict[str, Any]]:
    return [
        {
            "episode": episode.name,
            "frame_index": frame,
            "keep": letter in "KF",
            "rule": _RULES[letter],
            "scene_label": letter in "Ks",
            "action_label": letter in "Ka",
            "boundary_score": 0.75,
            "boundary_threshold": 0.5,
            "boundary_distance": _distance(frame, episode.boundaries),
            "acceleration": 2.0 if letter in "Ka" else 0.5,
            "acceleration_mean": 1.0,
            "gripper_flip": frame in episode.flips,
            "has_reasoning": episode.words > 0,
            "reasoning_words": episode.words,
        }
        for frame, letter in enumerate(episode.frames)
    ]


def _kinematics(episode: HandMade, arms: int, posed: bool) -> list[dict[str, Any]]:
    last = len(episode.frames) - 1
    return [
        {
            "episode": episode.name,
            "frame_index": frame,
            "linear_speed": [0.1] * arms if posed else None,
            "angular_speed": [0.1] * arms if posed else None,
            "joint_speed": None if posed else [0.1] * arms,
            "acceleration": [np.nan if frame in (0, last) else (2.0 if letter in "Ka" else 0.5)] * arms,
            "gripper_open": None,
            "gripper_flip": frame in episode.flips,
        }
        for frame, letter in enumerate(episode.frames)
    ]


def _segment_episode(episode: HandMade, space: str, gripper: bool) -> dict[str, Any]:
    length = len(episode.frames)
    arms = 1 if space == "pose" else 2
    trajectory = np.linspace(0, 1, length)[:, None] * np.ones((1, 6 if space == "pose" else 4))
    openness = np.zeros((length, arms))
    for flip in episode.flips:
        openness[flip:] = 1 - openness[flip:]
    text = " ".join(["word"] * episode.words)
    return {
        "trajectory": trajectory,
        "gripper": openness if gripper else None,
        "reasoning": [text] * length if episode.words else None,
        "name": episode.name,
    }


MakeCurated = Callable[..., CuratedSegment]
MakeContext = Callable[..., ReportContext]


@pytest.fixture
def make_curated(tmp_path: Path, make_segment: Callable[..., Path]) -> MakeCurated:
    """A factory ``(episodes, space, gripper, cameras, name) -> CuratedSegment`` at 10 frames per second."""

    def make(
        episodes: Sequence[HandMade],
        space: str = "pose",
        gripper: bool = True,
        cameras: Sequence[str] = ("front",),
        name: str = "one",
    ) -> CuratedSegment:
        segment = make_segment([_segment_episode(each, space, gripper) for each in episodes], space, cameras, name)
        folders = {kind: tmp_path / f"{name}_{kind}" for kind in ("boundaries", "kinematics", "decisions")}
        decisions = [row for each in episodes for row in _decisions(each)]
        arms = 1 if space == "pose" else 2
        kinematics = [row for each in episodes for row in _kinematics(each, arms, space == "pose")]
        scores = [{**row, "score": row["boundary_score"]} for row in decisions]
        tables = {
            "boundaries": pa.Table.from_pylist(scores, schemas.BOUNDARIES),
            "kinematics": pa.Table.from_pylist(kinematics, schemas.KINEMATICS),
            "decisions": pa.Table.from_pylist(decisions, schemas.DECISIONS),
        }
        for kind, folder in folders.items():
            folder.mkdir()
            pq.write_table(tables[kind], folder / f"{kind}.parquet", compression="zstd")
        return CuratedSegment(segment, **folders)

    return make


@pytest.fixture
def make_context() -> MakeContext:
    """A factory ``(episodes, tasks, **fields) -> ReportContext`` of one dataset; every third episode is held out."""

    def make(episodes: Sequence[HandMade], tasks: Sequence[str] = ("push",), **fields: Any) -> ReportContext:
        entries = tuple(
            EpisodeContext(
                episode=each.name,
                dataset="blocks",
                episode_index=index,
                task=tasks[index % len(tasks)],
                split="held_out" if index % 3 == 2 else "train",
            )
            for index, each in enumerate(episodes)
        )
        facts = DatasetFacts(name="blocks", layout="LeRobot v3.0", robot="arm", embodiment="test", cameras=("front",))
        return ReportContext(**{"title": "Blocks", "datasets": (facts,), "episodes": entries, **fields})

    return make
