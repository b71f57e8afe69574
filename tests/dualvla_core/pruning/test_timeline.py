from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.kinematics import KinematicsConfig, compute_kinematics
from dualvla_core.pruning import PruningConfig, prune_reasoning
from dualvla_core.pruning.timeline import CuratedFolders, Utterance, episode_timeline, utterances
from dualvla_core.schemas import BOUNDARIES


@pytest.fixture
def folders(make_segment: Callable[..., Path], tmp_path: Path) -> CuratedFolders:
    """Two episodes of two arms with grippers; a boundary at frame 4 of the second."""
    rng = np.random.default_rng(0)
    episodes = [
        {
            "trajectory": rng.random((length, 4)),
            "gripper": np.repeat([[1.0, 0.0]], length, axis=0),
            "reasoning": ["reach"] * 3 + ["push"] * (length - 3),
            "name": name,
        }
        for name, length in (("a", 5), ("b", 8))
    ]
    segment = make_segment(episodes, "joints")
    folders = CuratedFolders(segment, *(tmp_path / name for name in ("boundaries", "kinematics", "decisions")))
    for folder in (folders.boundaries, folders.kinematics, folders.decisions):
        folder.mkdir()
    scores = np.zeros(13, np.float32)
    scores[5 + 4] = 0.75
    columns = {"episode": ["a"] * 5 + ["b"] * 8, "frame_index": [*range(5), *range(8)], "score": scores}
    pq.write_table(pa.table(columns, schema=BOUNDARIES), folders.boundaries / "boundaries.parquet")
    compute_kinematics(KinematicsConfig(), segment, folders.kinematics)
    prune_reasoning(PruningConfig(rule="scene_only"), *folders[:4])
    return folders


def test_the_timeline_of_the_second_episode(folders: CuratedFolders) -> None:
    timeline = episode_timeline(folders, 1)
    assert (timeline.episode, timeline.instruction) == ("b", "push the block")
    assert timeline.times.tolist() == (np.arange(8) / 10).tolist()
    assert {camera: len(images) for camera, images in timeline.images.items()} == {"front": 8}
    assert timeline.signals["scene/score"].tolist() == [0, 0, 0, 0, 0.75, 0, 0, 0]
    assert timeline.signals["scene/threshold"].tolist() == [0.5] * 8
    assert timeline.signals["scene/label"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert timeline.signals["decision/keep"].tolist() == [0, 0, 0, 1, 1, 1, 0, 0]
    assert timeline.signals["gripper/left"].tolist() == [1] * 8
    assert timeline.signals["gripper/right"].tolist() == [0] * 8
    acceleration = timeline.signals["action/right/acceleration"]
    assert timeline.signals["action/right/mean_acceleration"].tolist() == [np.nanmean(acceleration)] * 8
    assert {"action/left/jerk", "action/left/joint_speed", "action/label", "gripper/transition"} < set(timeline.signals)
    assert "action/left/linear_speed" not in timeline.signals
    assert {len(values) for values in timeline.signals.values()} == {8}


def test_texts_begin_where_they_change(folders: CuratedFolders) -> None:
    texts = episode_timeline(folders, 1).texts
    assert texts["reasoning/before"] == [(0, "subtask: reach"), (3, "subtask: push")]
    assert texts["reasoning/kept"] == [(3, "subtask: push"), (6, "")]
    assert texts["decision/rule"] == [
        (0, "dropped: no event boundary"),
        (3, "kept: event boundary"),
        (6, "dropped: no event boundary"),
    ]


def test_silence_is_told_only_where_something_was_said() -> None:
    assert utterances(["", "", "a", "a", "", "b"]) == [Utterance(2, "a"), Utterance(4, ""), Utterance(5, "b")]
    assert utterances([]) == []


@pytest.fixture
def curated(make_segment: Callable[..., Path], tmp_path: Path) -> Callable[..., CuratedFolders]:
    """A factory of one curated episode, named "one", whose video shows no event boundary."""

    def make(episode: dict[str, Any], space: str = "pose") -> CuratedFolders:
        segment = make_segment([{**episode, "name": "one"}], space)
        folders = CuratedFolders(segment, *(tmp_path / name for name in ("boundaries", "kinematics", "decisions")))
        for folder in folders[1:4]:
            folder.mkdir()
        length = len(episode["trajectory"])
        columns = {"episode": ["one"] * length, "frame_index": range(length), "score": np.zeros(length, np.float32)}
        pq.write_table(pa.table(columns, schema=BOUNDARIES), folders.boundaries / "boundaries.parquet")
        compute_kinematics(KinematicsConfig(), segment, folders.kinematics)
        prune_reasoning(PruningConfig(), *folders[:4])
        return folders

    return make


def test_an_episode_of_one_silent_frame(curated: Callable[..., CuratedFolders]) -> None:
    timeline = episode_timeline(curated({"trajectory": np.zeros((1, 6)), "reasoning": [None]}), 0)
    assert (timeline.episode, timeline.instruction) == ("one", "push the block")
    assert timeline.texts["reasoning/before"] == []
    assert timeline.texts["decision/rule"] == [Utterance(0, "dropped: no event boundary and steady motion")]


def test_of_two_arms_one_may_have_a_gripper(curated: Callable[..., CuratedFolders]) -> None:
    openness = np.array([1.0, 1, 0, 0])
    folders = curated({"trajectory": np.zeros((4, 4)), "gripper": openness[:, None]}, "joints")
    signals = episode_timeline(folders, 0).signals
    assert {name: signals[name].tolist() for name in signals if name.startswith("gripper/")} == {
        "gripper/transition": [0, 0, 1, 0],
        "gripper/right": openness.tolist(),
    }
