from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from dualvla_core.episodes.embodiment import load_embodiments
from dualvla_core.episodes.reader import open_dataset
from dualvla_core.episodes.rlds_features import Feature, column
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.episodes.tfrecord import read_example, record_spans
from dualvla_core.errors import ConfigError, DatasetError, EpisodeError
from tests.dualvla_core.episodes.rlds_files import (
    TEXT,
    episode,
    example,
    framed,
    image,
    jpegs,
    tensor,
    write_rlds,
)

SHARD = "bridge_dataset/1.0.0/bridge_dataset-train.tfrecord-00000-of-00001"
PSNR_DB = 38.0
"""What an RLDS copy in JPEG of quality 95 may lose of the video's frames at most, on average of an episode."""


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second.astype(float)) ** 2)))


def test_real_train_and_val_are_the_same_episodes(real_dataset: Callable[[str], Path], tmp_path: Path) -> None:
    summary = scan_demonstrations(real_dataset("bridge_rlds_octo"), None, tmp_path)
    assert (summary["episodes"], summary["skipped"], summary["frames"]) == (25, 25, 250)
    reasons = pq.read_table(tmp_path / "skipped.parquet")["reason"].to_pylist()
    assert all(reason.startswith("It is the same demonstration as episode ") for reason in reasons)
    scan = pq.read_table(tmp_path / "scan.parquet").to_pylist()
    assert len({row["instruction"] for row in scan}) == 4
    assert scan[0]["source_id"] == "5"
    assert scan[0]["source_file"].endswith("put_cup_from_counter_or_drying_rack_into_sink/val/out.npy")


def test_real_episode_has_all_its_steps_though_is_last_is_never_set(real_dataset: Callable[[str], Path]) -> None:
    reader = open_dataset(real_dataset("bridge_rlds_octo"))
    signals = reader.signals(0)
    assert signals.num_rows == 10
    assert signals["timestamp"].to_pylist() == [i / 5 for i in range(10)]
    assert all(0 <= value[0] <= 1 for value in signals["gripper"].to_pylist())
    assert reader.cameras == [f"observation.image_{i}" for i in range(4)]  # also those has_image_* denies


def test_signals_text_and_images(tmp_path: Path) -> None:
    first = episode(5, seed=1)
    reader = open_dataset(write_rlds(tmp_path, {"train": [first, episode(3, 2)], "val": [episode(2, 3)]}))
    assert reader.episode_indices() == [0, 1, 2]
    table = reader.signals(0)
    np.testing.assert_array_equal(np.array(table["state"].to_pylist(), np.float32), first["steps/observation/state"])
    np.testing.assert_array_equal(np.array(table["action"].to_pylist(), np.float32), first["steps/action"])
    assert table["instruction"].to_pylist() == ["open the drawer"] * 5
    assert [data for _, data in reader.packets(0, "observation.image_0")] == first["steps/observation/image_0"]
    assert [frame.shape for frame in reader.frames(2, "observation.image_0")] == [(16, 24, 3)] * 2
    facts = reader.facts(2)
    assert (facts.length, facts.source_file, facts.source_id) == (
        2, "bridge_dataset/1.0.0/bridge_dataset-val.tfrecord-00000-of-00001", "0",
    )  # fmt: skip
    assert sum(reader.share(i, reader.files(i)[0]) for i in (0, 1)) == pytest.approx(1, abs=0.1)


def test_the_same_real_demonstration_as_lerobot_and_as_rlds(
    real_dataset: Callable[[str], Path], tmp_path: Path
) -> None:
    lerobot = open_dataset(real_dataset("gr1_sim_lerobot_v20"))
    frames, signals = list(lerobot.frames(4, lerobot.cameras[0])), lerobot.signals(4)
    copy = {
        "steps/observation/state": np.array(signals["state"].to_pylist(), np.float32),
        "steps/action": np.array(signals["action"].to_pylist(), np.float32),
        "steps/observation/image_0": jpegs(frames),
        "steps/language_instruction": [text.encode() for text in signals["instruction"].to_pylist()],
    }
    steps = {"observation/state": tensor(44), "action": tensor(44), "is_last": None}
    folder = write_rlds(tmp_path, {"train": [copy]}, steps=steps, name="gr1")
    described = tmp_path / "gr1.yaml"
    shipped = load_embodiments()["gr1"].model_copy(update={"control_hz": 20.0})
    described.write_text(yaml.safe_dump(shipped.model_dump(mode="json")))
    rlds = open_dataset(folder, str(described))
    assert rlds.signals(0).equals(signals)
    pairs = zip(frames, rlds.frames(0, "observation.image_0"), strict=True)
    assert np.mean([psnr(first, second) for first, second in pairs]) >= PSNR_DB


def test_ragged_columns_are_rebuilt_row_by_row(tmp_path: Path) -> None:
    def parse(values: dict[str, Any]) -> Any:
        file = tmp_path / "one.tfrecord"
        file.write_bytes(framed(example(values)))
        return read_example(file, next(iter(record_spans(file))))

    points = Feature("steps/points", "number", "float32", (2,), "none", 2)
    one = {
        "steps/points/ragged_flat_values": np.arange(8, dtype=np.float32),
        "steps/points/ragged_row_lengths_0": np.array([1, 0, 3]),
    }
    assert column(parse(one), points).to_pylist() == [[0, 1], [], [2, 3, 4, 5, 6, 7]]
    deeper = Feature("steps/points", "number", "int64", (), "none", 3)
    two = {
        "steps/points/ragged_flat_values": np.arange(5),
        "steps/points/ragged_row_lengths_0": np.array([2, 0, 1]),
        "steps/points/ragged_row_lengths_1": np.array([1, 2, 2]),
    }
    assert column(parse(two), deeper).to_pylist() == [[0, 1, 2], [], [3, 4]]
    for changes, sentence in (
        ({"steps/points/ragged_row_lengths_0": np.array([1, 1])}, "its row lengths add up to 4"),
        ({"steps/points/ragged_flat_values": np.arange(7, dtype=np.float32)}, "not a multiple of its shape"),
    ):
        with pytest.raises(EpisodeError, match=sentence):
            column(parse(one | changes), points)
    del one["steps/points/ragged_row_lengths_0"]
    with pytest.raises(EpisodeError, match=r"holds no row lengths"):
        column(parse(one), points)
    with pytest.raises(EpisodeError, match=r"row lengths of 'steps/points' contradict"):
        column(parse(two | {"steps/points/ragged_row_lengths_0": np.array([2, 0, 2])}), deeper)


@pytest.mark.parametrize(("encoding", "pack"), [("bytes", bytes), ("zlib", zlib.compress)])
def test_tensors_stored_as_bytes(encoding: str, pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    state = np.arange(14, dtype="<f8").reshape(2, 7)
    packed = episode(2, **{"steps/observation/state": [pack(row.tobytes()) for row in state]})
    broken = episode(2, **{"steps/observation/state": [b"xyz", b"xyz"]})
    steps = {"observation/state": tensor(7, dtype="float64", encoding=encoding)}
    reader = open_dataset(write_rlds(tmp_path, {"train": [packed, broken]}, steps=steps))
    assert reader.signals(0)["state"].to_pylist() == state.tolist()
    with pytest.raises(EpisodeError, match=f"cannot be read as float64 in {encoding}"):
        reader.signals(1)


def test_a_broken_record_costs_itself_and_a_broken_header_what_follows(tmp_path: Path) -> None:
    folder = write_rlds(tmp_path, {"train": [episode(2, seed) for seed in range(3)]})
    shard = folder / SHARD
    data = bytearray(shard.read_bytes())
    data[40] ^= 1  # inside the first record
    shard.write_bytes(data)
    summary = scan_demonstrations(folder, None, make(tmp_path / "one"))
    assert (summary["episodes"], summary["skipped"]) == (2, 1)
    reason = pq.read_table(tmp_path / "one" / "skipped.parquet")["reason"][0].as_py()
    assert "wrong checksum in the record at byte 12; fetch it again" in reason
    shard.write_bytes(data[:-5])
    reader = open_dataset(folder)
    with pytest.raises(EpisodeError, match=r"cut short inside a record"):
        reader.signals(2)
    shard.write_bytes(b"\x01" + data[1:])
    reader = open_dataset(folder)
    assert reader.warnings == [f"dataset_info.json counts 3 episodes in {shard.name}, it holds 1; these are read."]
    with pytest.raises(EpisodeError, match=r"wrong checksum at byte 0"):
        reader.signals(0)
    shard.write_bytes(framed(b"no protobuf message"))
    with pytest.raises(EpisodeError, match=r"is no tf.train.Example"):
        open_dataset(folder).signals(0)
    shard.unlink()
    (shard.parent / "bridge_dataset-other.tfrecord-00000-of-00001").touch()
    reader = open_dataset(folder)
    assert len(reader.episode_indices()) == 3  # named one by one, not forgotten
    with pytest.raises(EpisodeError, match=r"is missing"):
        reader.signals(2)


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"steps/action": None}, "lacks 'steps/action', which features.json declares"),
        ({"steps/action": np.zeros((5, 7), np.float32)}, "rows per column"),
        ({"steps/language_instruction": [b"x"]}, "has 1 texts for 4 steps"),
        ({"steps/language_instruction": [b"\xff"] * 4}, "is not UTF-8"),
        ({"steps/action": np.full((4, 7), np.nan, np.float32)}, "'action' holds NaN or infinity in 4 rows"),
        ({"steps/observation/image_0": []}, "The episode has 0 images"),
    ],
)
def test_episodes_that_cannot_be_read(changes: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    reader = open_dataset(write_rlds(tmp_path, {"train": [episode(4, **changes), episode(4)]}))
    with pytest.raises(EpisodeError, match=sentence):
        reader.signals(0)
    assert reader.signals(1).num_rows == 4


def test_an_image_that_is_none(tmp_path: Path) -> None:
    spoiled = episode(2, **{"steps/observation/image_0": [b"GIF89a", b""]})
    with pytest.raises(EpisodeError, match=r"'observation.image_0': an image is neither PNG nor JPEG"):
        list(open_dataset(write_rlds(tmp_path, {"train": [spoiled]})).frames(0, "observation.image_0"))


def test_texts_of_the_episode_and_of_a_nested_place(tmp_path: Path) -> None:
    silent = {"language_instruction": None, "steps/language_instruction": [b""] * 4}
    whole = episode(4, **silent, **{"episode_metadata/language_instruction": [b"stack"],
                                    "episode_metadata/file_path": [b"a/b.npy"],
                                    "episode_metadata/episode_id": np.array([7])})  # fmt: skip
    top = {"episode_metadata/language_instruction": TEXT, "episode_metadata/file_path": TEXT,
           "episode_metadata/episode_id": tensor(dtype="int32")}  # fmt: skip
    mute = dict(whole) | {"episode_metadata/language_instruction": [b""]}
    reader = open_dataset(write_rlds(tmp_path, {"train": [whole, mute]}, top=top))
    assert reader.facts(0).instruction == "stack"
    assert (reader.facts(0).source_file, reader.facts(0).source_id) == ("a/b.npy", "7")
    assert reader.signals(1)["instruction"].to_pylist() == [""] * 4


def test_depth_and_sound_are_left_out_and_fractals_parts_are_joined(tmp_path: Path) -> None:
    steps = {
        "observation/depth": image(1, "uint16"),
        "observation/sound": {"audio": {}},
        "observation/base_pose_tool_reached": tensor(7),
        "observation/gripper_closed": tensor(1),
        "action": None,
    }
    steps |= {f"action/{name}": tensor(size) for name, size in (
        ("world_vector", 3), ("rotation_delta", 3), ("gripper_closedness_action", 1))}  # fmt: skip
    pose = np.tile(np.array([0.1, 0.2, 0.3, 0, 0, 0, 1], np.float32), (2, 1))
    values = {
        "steps/action": None,
        "steps/observation/base_pose_tool_reached": pose,
        "steps/observation/gripper_closed": np.array([[0.25], [1]], np.float32),
        "steps/action/world_vector": np.ones((2, 3), np.float32),
        "steps/action/rotation_delta": np.full((2, 3), 2, np.float32),
        "steps/action/gripper_closedness_action": np.full((2, 1), -1, np.float32),
    }
    folder = write_rlds(tmp_path, {"train": [episode(2, **values)]}, name="fractal20220817_data", steps=steps)
    reader = open_dataset(folder)
    assert (reader.embodiment.name, reader.fps) == ("google_robot_rlds", 3)
    assert reader.warnings == ["The depth map 'observation.depth' is not read."]
    table = reader.signals(0)
    assert table["action"].to_pylist() == [[1, 1, 1, 2, 2, 2, -1]] * 2
    np.testing.assert_allclose(table["ee_pose"].to_pylist(), [[0.1, 0.2, 0.3, 0, 0, 0]] * 2, atol=1e-7)
    assert table["gripper"].to_pylist() == [[0.75], [0]]
    assert len(table["state"][0]) == 8


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda f: (f / "features.json").write_text("{"),
            "features.json of the TFDS dataset is missing or not readable",
        ),
        (lambda f: (f / "features.json").write_text('{"text": {}}'), "describes no 'steps'"),
        (lambda f: (f / "dataset_info.json").write_text("{}"), "does not list name, splits and shardLengths"),
        (lambda f: edit(f, fileFormat="array_record"), "lies in array_record files; this version reads tfrecord"),
    ],
)
def test_metadata_that_cannot_be_used(spoil: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    folder = write_rlds(tmp_path, {"train": [episode()]})
    spoil(folder / "bridge_dataset" / "1.0.0")
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(folder)


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "dataset_info.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_no_frame_rate_and_two_datasets_are_refused(tmp_path: Path) -> None:
    folder = write_rlds(tmp_path, {"train": [episode()]}, name="unknown_robot")
    with pytest.raises(ConfigError, match=r"RLDS records no frame rate .* control_hz"):
        open_dataset(folder)
    write_rlds(tmp_path, {"train": [episode()]})
    with pytest.raises(DatasetError, match=r"holds 2 RLDS datasets .*give the folder of one"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path / "bridge_dataset").episode_indices() == [0]


def test_without_images_there_is_nothing_to_look_at(tmp_path: Path) -> None:
    folder = write_rlds(tmp_path, {"train": [episode()]}, steps={"observation/image_0": image(1)})
    with pytest.raises(DatasetError, match=r"no colour images"):
        open_dataset(folder)


def test_png_images_too(tmp_path: Path) -> None:
    picture = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)
    png = cv2.imencode(".png", picture[..., ::-1])[1].tobytes()
    reader = open_dataset(write_rlds(tmp_path, {"train": [episode(1, **{"steps/observation/image_0": [png]})]}))
    np.testing.assert_array_equal(next(iter(reader.frames(0, "observation.image_0"))), picture)
