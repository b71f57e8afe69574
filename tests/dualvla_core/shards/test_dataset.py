from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dualvla_core.errors import ArtifactError
from dualvla_core.shards import ShardDataset

MakeImages = Callable[[np.ndarray], list[np.ndarray]]


@pytest.fixture
def shards(make_shard: Callable[..., Path]) -> list[Path]:
    """Episodes a (3 frames) and b (2) in one shard, c (4) in another; action = [frame, frame, gripper]."""
    episodes = {}
    for name, length in (("a", 3), ("b", 2), ("c", 4)):
        frames = np.arange(length, dtype=float)
        actions = np.stack([frames + 1, frames + 1, np.ones(length)], axis=1)
        trajectory = np.zeros((length, 6))
        trajectory[:, 0] = frames / 4
        reasoning = [f"{name}{index}" for index in range(length)]
        episodes[name] = {
            "trajectory": trajectory,
            "gripper": np.ones((length, 1)),
            "actions": actions,
            "reasoning": reasoning,
            "name": name,
        }
    cameras = ("front", "wrist")
    return [
        make_shard([episodes["a"], episodes["b"]], cameras=cameras, name="one"),
        make_shard([episodes["c"]], cameras=cameras, name="two"),
    ]


def test_frames_are_numbered_across_shards(shards: list[Path]) -> None:
    dataset = ShardDataset(shards)
    assert len(dataset) == 9
    keys = [(dataset[index].episode, dataset[index].frame_index) for index in range(9)]
    assert keys == [(name, index) for name, length in (("a", 3), ("b", 2), ("c", 4)) for index in range(length)]


@pytest.mark.parametrize("index", [-1, 9])
def test_there_is_nothing_outside(shards: list[Path], index: int) -> None:
    with pytest.raises(IndexError):
        ShardDataset(shards)[index]


def test_a_frame_holds_what_was_recorded(shards: list[Path], make_images: MakeImages) -> None:
    frame = ShardDataset(shards, action_chunk=2)[7]
    assert (frame.embodiment, frame.instruction) == ("test_pose", "push the block")
    assert frame.state is not None
    assert frame.state.tolist() == [0.5, 0, 0, 0, 0, 0, 1]
    assert set(frame.images) == {"front", "wrist"}
    original = make_images(np.array([0.5]))[0]
    assert frame.images["front"].shape == original.shape
    difference = np.abs(frame.images["front"].astype(int) - original)
    assert difference.mean() < 4, "the image is not the recorded one in RGB order"
    assert frame.keep
    assert frame.reasoning == (("subtask", "c2"),)


def test_pruned_reasoning_is_empty(shards: list[Path]) -> None:
    frame = ShardDataset(shards)[6]
    assert not frame.keep
    assert frame.reasoning == ()


def test_chunks_end_with_their_episode(shards: list[Path]) -> None:
    frame = ShardDataset(shards, action_chunk=3)[3]  # the first of the two frames of b
    assert frame.actions is not None
    assert frame.actions.tolist() == [[1, 1, 1], [2, 2, 1], [0, 0, 1]]
    assert frame.is_padding.tolist() == [False, False, True]


def test_only_chosen_cameras_are_decoded(shards: list[Path]) -> None:
    assert set(ShardDataset(shards, cameras=["wrist"])[0].images) == {"wrist"}


def test_an_unknown_camera_is_named(shards: list[Path]) -> None:
    with pytest.raises(ArtifactError, match=r"no camera 'top'.*\['front', 'wrist'\]"):
        ShardDataset(shards, cameras=["top"])


def test_a_dataset_travels_to_workers_without_its_data(shards: list[Path]) -> None:
    dataset = ShardDataset(shards, action_chunk=4, cameras=["front"])
    assert dataset[0].keep
    content = pickle.dumps(dataset)
    assert len(content) < 2000
    copy = pickle.loads(content)
    assert len(copy) == 9
    assert copy[8].images["front"].tolist() == dataset[8].images["front"].tolist()
    assert copy[8].actions.shape == (4, 3)


def test_only_chosen_episodes_are_visited_each_once(shards: list[Path]) -> None:
    dataset = ShardDataset([*shards, shards[0]], episodes=["c", "b", "nowhere"])
    keys = [(dataset[index].episode, dataset[index].frame_index) for index in range(len(dataset))]
    assert keys == [("b", 0), ("b", 1), ("c", 0), ("c", 1), ("c", 2), ("c", 3)]
    assert len(ShardDataset([*shards, shards[0]])) == 9 + 5
    assert len(pickle.loads(pickle.dumps(dataset))) == 6


def test_few_episodes_are_held_open(shards: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []
    monkeypatch.setattr("dualvla_core.shards.dataset._OPEN_EPISODES", 2)
    monkeypatch.setattr(ShardDataset, "_opened", _counting(ShardDataset._opened, opened))
    dataset = ShardDataset(shards)
    for index in (0, 1, 3, 2, 5, 4, 8):  # a a b a c b c
        assert dataset[index].frame_index == [0, 1, 2, 0, 1, 0, 1, 2, 3][index]
    assert opened == [0, 1, 2, 1]


def _counting(
    original: Callable[[ShardDataset, int], object], opened: list[int]
) -> Callable[[ShardDataset, int], object]:
    def count(dataset: ShardDataset, number: int) -> object:
        opened.append(number)
        return original(dataset, number)

    return count


def test_moments_are_those_of_the_visited_frames(shards: list[Path]) -> None:
    dataset = ShardDataset(shards, action_chunk=1, episodes=["a", "c"])
    actions = np.concatenate([dataset[index].actions for index in range(7)])
    found = dataset.moments()["test_pose"]
    np.testing.assert_allclose(found["action"].mean, actions.mean(axis=0))
    np.testing.assert_allclose(found["action"].std, actions.std(axis=0))
    assert found["action"].frames.tolist() == [7, 7, 7]
    assert found["state"].maximum.tolist() == [0.75, 0, 0, 0, 0, 0, 1]


def test_demonstrations_without_actions_can_be_read(make_shard: Callable[..., Path]) -> None:
    shard = make_shard([{"trajectory": np.zeros((2, 6))}])
    batch = pa.ipc.open_file(str(shard / "shard.arrow")).get_batch(0)
    field = batch.schema.field("action")
    with pa.ipc.new_file(str(shard / "shard.arrow"), batch.schema) as writer:
        writer.write_batch(batch.set_column(batch.schema.get_field_index("action"), field, pa.nulls(2, field.type)))
    frame = ShardDataset([shard], action_chunk=3)[1]
    assert frame.actions is None
    assert frame.is_padding.tolist() == [False, True, True]


def test_a_broken_image_is_reported(make_shard: Callable[..., Path]) -> None:
    shard = make_shard([{"trajectory": np.zeros((1, 6))}])
    batch = pa.ipc.open_file(str(shard / "shard.arrow")).get_batch(0)
    index = batch.schema.get_field_index("image.front")
    with pa.ipc.new_file(str(shard / "shard.arrow"), batch.schema) as writer:
        writer.write_batch(batch.set_column(index, batch.schema.field(index), pa.array([b"no image"], pa.binary())))
    with pytest.raises(ArtifactError, match="cannot be decoded"):
        ShardDataset([shard])[0]


def test_no_shards_no_frames() -> None:
    assert len(ShardDataset([])) == 0
