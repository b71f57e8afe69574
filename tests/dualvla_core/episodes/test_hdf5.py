from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from dualvla_core.episodes.reader import open_dataset
from dualvla_core.episodes.scan import scan_demonstrations
from dualvla_core.errors import ConfigError, DatasetError, EpisodeError

ROBOT = {"env_name": "Lift", "env_kwargs": {"robots": ["Panda"], "control_freq": 10}}


def pictures(length: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (length, 12, 16, 3), np.uint8)


def robomimic(path: Path, lengths: tuple[int, ...] = (3, 4), **changes: Any) -> Path:
    """A robomimic file of demonstrations; ``changes`` replace parts of obs, None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["env_args"] = json.dumps(ROBOT)
        for number, length in enumerate(lengths):
            rng = np.random.default_rng(number)
            demo = data.create_group(f"demo_{number}")
            demo["actions"] = rng.normal(size=(length, 7))
            demo.attrs["num_samples"] = length
            parts = {
                "robot0_eef_pos": rng.normal(size=(length, 3)),
                "robot0_eef_quat": np.tile([0.0, 0, 0, 1], (length, 1)),
                "robot0_gripper_qpos": np.tile([0.03, -0.03], (length, 1)),
                "agentview_image": pictures(length, number),
                "agentview_depth": np.zeros((length, 12, 16, 1), np.float32),
                **changes,
            }
            for name, part in parts.items():
                if part is not None:
                    demo[f"obs/{name}"] = part
    return path


def test_robomimic(tmp_path: Path) -> None:
    robomimic(tmp_path / "set" / "image.hdf5", lengths=(3,) * 11)
    reader = open_dataset(tmp_path / "set")
    assert (reader.layout, reader.robot_type, reader.embodiment.name) == (
        "HDF5 (robomimic)",
        "Panda",
        "franka_robomimic",
    )
    assert (reader.fps, reader.cameras) == (10, ["obs.agentview_image"])
    assert reader.warnings == ["'obs.agentview_depth' is neither colour images nor numbers; it is not read."]
    assert [reader.facts(i).source_id for i in (2, 10)] == ["demo_2", "demo_10"]  # by number, not by letter
    table = reader.signals(1)
    expected = np.random.default_rng(1)
    np.testing.assert_allclose(table["action"].to_pylist(), expected.normal(size=(3, 7)), rtol=1e-6)
    np.testing.assert_allclose(np.array(table["ee_pose"].to_pylist())[:, :3], expected.normal(size=(3, 3)), rtol=1e-6)
    np.testing.assert_allclose(table["gripper"].to_pylist(), [[0.75]] * 3)
    assert table["instruction"].to_pylist() == [""] * 3
    assert reader.facts(1).task == "Lift"
    assert all(
        np.array_equal(a, b) for a, b in zip(reader.frames(1, "obs.agentview_image"), pictures(3, 1), strict=True)
    )
    assert reader.share(1, reader.files(1)[0]) == pytest.approx(1 / 11)


@pytest.mark.parametrize("said", ["open the drawer", '"open the drawer"', ["open", "the", "drawer"]])
def test_libero_says_its_instruction_in_several_ways(said: str | list[str], tmp_path: Path) -> None:
    path = robomimic(
        tmp_path / "demo.hdf5", robot0_eef_pos=None, robot0_eef_quat=None, robot0_gripper_qpos=None,
        ee_pos=np.ones((3, 3)), ee_ori=np.tile([0, 0, 0.5], (3, 1)), gripper_states=np.zeros((3, 2)), lengths=(3,)
    )  # fmt: skip
    with h5py.File(path, "a") as file:
        file["data"].attrs["problem_info"] = json.dumps({"language_instruction": said})
    reader = open_dataset(tmp_path)
    assert reader.embodiment.name == "franka_libero"
    assert reader.signals(0)["instruction"].to_pylist() == ["open the drawer"] * 3
    np.testing.assert_allclose(reader.signals(0)["ee_pose"].to_pylist(), [[1, 1, 1, 0, 0, 0.5]] * 3, atol=1e-7)


def aloha(path: Path, length: int = 4, seed: int = 0, camera: Any = None, **extra: Any) -> Path:
    with h5py.File(path, "w") as file:
        rng = np.random.default_rng(seed)
        file["observations/qpos"] = rng.uniform(size=(length, 14))
        file["action"] = rng.uniform(size=(length, 14))
        file["observations/images/cam_high"] = pictures(length, seed) if camera is None else camera
        for name, value in extra.items():
            file[name] = value
    return path


def test_aloha_reads_like_its_lerobot_copy(tmp_path: Path) -> None:
    aloha(tmp_path / "episode_0.hdf5")
    aloha(tmp_path / "episode_1.hdf5", seed=1, language_instruction=b"fold the towel")
    reader = open_dataset(tmp_path)
    assert (reader.layout, reader.embodiment.name, reader.fps) == ("HDF5 (ALOHA)", "aloha", 50)
    table = reader.signals(1)
    rng = np.random.default_rng(1)
    state = rng.uniform(size=(4, 14)).astype(np.float32)
    np.testing.assert_array_equal(np.array(table["state"].to_pylist(), np.float32), state)
    np.testing.assert_array_equal(np.array(table["gripper"].to_pylist(), np.float32), state[:, [6, 13]])
    assert [reader.facts(i).instruction for i in (0, 1)] == ["", "fold the towel"]
    assert (reader.facts(1).source_file, reader.facts(1).source_id) == ("episode_1.hdf5", "")


@pytest.mark.parametrize("padded", [True, False])
def test_aloha_images_as_jpeg(padded: bool, tmp_path: Path) -> None:
    smooth = np.repeat(np.linspace(0, 255, 4 * 16, dtype=np.uint8).reshape(4, 1, 16, 1), 12, 1).repeat(3, 3)
    rows = [cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].reshape(-1) for image in smooth]
    path = aloha(tmp_path / "episode_0.hdf5", camera=np.zeros((1,)))
    with h5py.File(path, "a") as file:
        del file["observations/images/cam_high"]
        if padded:
            longest = max(map(len, rows))
            file["observations/images/cam_high"] = np.stack([np.pad(row, (0, longest - len(row))) for row in rows])
        else:
            images = file.create_dataset("observations/images/cam_high", (4,), h5py.vlen_dtype(np.uint8))
            for number, row in enumerate(rows):
                images[number] = row
    found = list(open_dataset(tmp_path).frames(0, "cam_high"))
    assert all(np.abs(a.astype(int) - b).max() < 6 for a, b in zip(found, smooth, strict=True))


def test_a_broken_file_costs_its_episode(tmp_path: Path) -> None:
    for number in range(3):
        aloha(tmp_path / f"episode_{number}.hdf5", seed=number)
    first = tmp_path / "episode_0.hdf5"
    first.write_bytes(first.read_bytes()[:500])
    robomimic(tmp_path / "other.hdf5", lengths=(3,))
    (tmp_path / "out").mkdir()
    summary = scan_demonstrations(tmp_path, None, tmp_path / "out")
    assert (summary["episodes"], summary["skipped"]) == (2, 2)
    assert pq.read_table(tmp_path / "out" / "skipped.parquet")["reason"].to_pylist() == [
        "episode_0.hdf5 is missing, no HDF5 file or cut short; fetch it again.",
        "other.hdf5 does not have the layout ALOHA of the other files.",
    ]


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    aloha(tmp_path / "a.hdf5")
    aloha(tmp_path / "b.hdf5", camera=pictures(3))
    aloha(tmp_path / "c.hdf5")
    with h5py.File(tmp_path / "c.hdf5", "a") as file:
        file.move("observations/images/cam_high", "observations/images/cam_low")
    reader = open_dataset(tmp_path)
    with pytest.raises(EpisodeError, match=r"The parts of the episode differ in length"):
        reader.signals(1)
    with pytest.raises(EpisodeError, match=r"no images of camera 'cam_high'; it has"):
        reader.packets(2, "cam_high")


@pytest.mark.parametrize(
    ("write", "error", "sentence"),
    [
        (
            lambda f: h5py.File(f / "x.h5", "w").create_group("other"),
            DatasetError,
            r"none of the known layouts .*\['other'\]",
        ),
        (lambda f: (f / "x.h5").write_bytes(b"no"), DatasetError, "none of the known layouts"),
        (lambda f: robomimic(f / "x.hdf5", agentview_image=None), DatasetError, "hold no images"),
        (lambda f: robomimic(f / "x.hdf5", robot0_eef_pos=None), ConfigError, "No known embodiment fits"),
    ],
)
def test_files_that_are_refused(
    write: Callable[[Path], object], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    write(tmp_path)
    with pytest.raises(error, match=sentence):
        open_dataset(tmp_path)


def test_no_frame_rate(tmp_path: Path) -> None:
    with h5py.File(aloha(tmp_path / "x.hdf5"), "a") as file:
        del file["observations/qpos"], file["action"]
        file["observations/qpos"] = np.zeros((4, 5))
    with pytest.raises(ConfigError, match=r"HDF5 files record no frame rate .* control_hz"):
        open_dataset(tmp_path)


def test_a_pickle_inside_is_never_loaded(tmp_path: Path) -> None:
    """h5py reads opaque bytes as bytes; the reader names the part and leaves it."""

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    robomimic(tmp_path / "x.hdf5", lengths=(3,), note=np.void(pickle.dumps(Trap())))
    reader = open_dataset(tmp_path)
    reader.signals(0)
    assert "'obs.note' is neither colour images nor numbers; it is not read." in reader.warnings
    assert not (tmp_path / "executed").exists()
