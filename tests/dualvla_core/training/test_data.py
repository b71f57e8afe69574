"""Samples, and the thread that makes batches of them."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import COLLECTION
from dualvla_core.training.data import Questions, RobotFrames, prefetched, robot_texts
from dualvla_core.training.plan import TrainingInputs
from tests.dualvla_core.training.tiny_data import CAMERAS, LENGTH, MODEL


def frames(data: TrainingInputs) -> RobotFrames:
    return RobotFrames(data.shards, data.collection, MODEL.action_chunk)


def test_only_training_episodes_are_visited(data: TrainingInputs) -> None:
    found = frames(data)
    visited = [(found[index].episode, found[index].frame_index) for index in range(len(found))]
    assert visited == [(episode, frame) for episode in ("one", "three", "four") for frame in range(LENGTH)]
    assert found.name(LENGTH + 2) == "episode three frame 2"
    assert (set(found[0].images), found[0].actions.shape) == (set(CAMERAS), (3, 4))  # type: ignore[union-attr]


def test_an_episode_in_two_shards_is_visited_once(data: TrainingInputs, tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(data.shards[0], again)
    assert len(RobotFrames((*data.shards, again), data.collection, 3)) == len(frames(data))


def test_a_collection_without_training_episodes_is_refused(data: TrainingInputs, tmp_path: Path) -> None:
    rows = pq.read_table(data.collection / "collection.parquet").to_pylist()
    held_out = pa.Table.from_pylist([{**row, "split": "held_out"} for row in rows], COLLECTION)
    pq.write_table(held_out, tmp_path / "collection.parquet")
    with pytest.raises(ArtifactError, match="no episode of the train split"):
        RobotFrames(data.shards, tmp_path, 3)


def test_questions_of_the_training_split(data: TrainingInputs) -> None:
    assert data.multimodal is not None
    questions = Questions(data.multimodal)
    assert [questions[index]["sample"] for index in range(len(questions))] == ["q1", "q2", "q3"]
    assert questions.name(1) == "question q2"
    assert list(questions.texts())[:2] == ["What is it?", "A block."]


def test_a_folder_that_is_no_multimodal_shard_is_refused(data: TrainingInputs) -> None:
    with pytest.raises(ArtifactError, match="expected a multimodal shard"):
        Questions(data.collection)


def test_texts_are_instructions_and_reasoning_of_training_episodes(data: TrainingInputs) -> None:
    texts = list(robot_texts(data.shards, data.collection))
    assert texts == 3 * ["Push.", *3 * ["subtask: reach the block"]]


def test_prefetched_keeps_the_order_and_stays_a_little_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        made.append(step)
        return step * step

    batches = prefetched(make, range(3, 10), ahead=2)
    assert next(batches) == (3, 9)
    time.sleep(0.05)
    assert made == [3, 4, 5]
    assert list(batches) == [(step, step * step) for step in range(4, 10)]


def test_prefetched_raises_where_the_batch_was_due_and_ends_its_thread() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise ArtifactError("broken")
        return step

    batches = prefetched(make, range(5))
    assert [next(batches), next(batches)] == [(0, 0), (1, 1)]
    with pytest.raises(ArtifactError, match="broken"):
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
