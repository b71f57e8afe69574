from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dualvla_core.episodes.reader import open_dataset, recognise
from dualvla_core.errors import DatasetError

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


@pytest.mark.parametrize(
    ("name", "layout", "embodiment", "episodes", "frames"),
    [
        ("g1_real_lerobot_v21", "LeRobot v2.1", "unitree_g1", 4, 1461),
        ("aloha_sim_lerobot_v30", "LeRobot v3.0", "aloha", 3, 1300),
        ("gr1_sim_lerobot_v20", "LeRobot v2.0", "gr1", 5, 2096),
        ("bridge_rlds_octo", "RLDS (TFDS 1.0.0)", "widowx_bridge_rlds", 50, 500),
    ],
)
def test_real_datasets_are_opened(
    name: str, layout: str, embodiment: str, episodes: int, frames: int, real_dataset: Callable[[str], Path]
) -> None:
    reader = open_dataset(real_dataset(name))
    assert (reader.layout, reader.embodiment.name, reader.name) == (layout, embodiment, name)
    assert len(reader.episode_indices()) == episodes
    assert sum(reader.facts(index).length for index in reader.episode_indices()) == frames


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "sweep_franka_v20_lfs_pointer",
            r"^data/chunk-000/episode_000000.parquet is a git-LFS pointer .*run `git lfs pull` in ",
        ),
        ("pusht_lerobot_v1_legacy", r"in the layout LeRobot v1: convert it with LeRobot's own scripts"),
        ("mmmu_scoring", r"No known layout was recognised .*meta/info.json"),
    ],
)
def test_real_folders_that_are_refused(name: str, sentence: str, real_dataset: Callable[[str], Path]) -> None:
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(real_dataset(name))


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="There is no dataset folder"):
        open_dataset(tmp_path / "absent")


@pytest.mark.parametrize(
    ("file", "layout", "sentence"),
    [
        ("meta_data/info.json", "LeRobot v1", "in the layout LeRobot v1: convert it"),
        ("1.0.0/x-train.tfrecord-00000-of-00001", "RLDS", "no dataset_info.json beside a features.json; restore them"),
        ("a.hdf5", "HDF5", "none of the known layouts"),
        ("x/a.h5", "HDF5", "none of the known layouts"),
    ],
)
def test_layouts_are_recognised_by_their_files(tmp_path: Path, file: str, layout: str, sentence: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert recognise(tmp_path) == layout
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(tmp_path)


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "demo.hdf5").touch()
    with pytest.raises(DatasetError, match=r"demo.hdf5 is a file; give the folder that holds the dataset"):
        open_dataset(tmp_path / "demo.hdf5")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (json.dumps({"codebase_version": "v4.0"}), r"codebase_version 'v4.0'; this version reads v2.0, v2.1 and v3.x"),
        (json.dumps({"fps": 10}), r"codebase_version 'None'"),
        ("{", r"info.json is not a JSON object"),
        ("[]", r"info.json is not a JSON object"),
        (POINTER, r"meta/info.json is a git-LFS pointer"),
        (json.dumps({"codebase_version": "v2.1", "fps": 0, "features": {}}), r"frame rate 0, expected a positive"),
        (json.dumps({"codebase_version": "v2.1", "fps": 10}), r"no table of columns under 'features'"),
    ],
)
def test_metadata_that_cannot_be_used(tmp_path: Path, text: str, sentence: str) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "info.json").write_text(text)
    with pytest.raises(DatasetError, match=sentence):
        open_dataset(tmp_path)


def test_several_pointers_are_counted(write_dataset: Callable[..., Path]) -> None:
    folder = write_dataset(2)
    for video in folder.rglob("*.mp4"):
        video.write_text(POINTER)
    with pytest.raises(DatasetError, match=r"front/episode_000000.mp4 and 1 more are git-LFS pointers"):
        open_dataset(folder)
