"""One interface to demonstrations, whatever layout they lie in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from dualvla_core.episodes.canonical import EpisodeFacts
from dualvla_core.episodes.embodiment import Embodiment
from dualvla_core.episodes.hdf5 import SUFFIXES, open_hdf5
from dualvla_core.episodes.lerobot import open_lerobot_v2, open_lerobot_v3
from dualvla_core.episodes.rlds import open_rlds
from dualvla_core.episodes.video import Image
from dualvla_core.errors import DatasetError, UserError, in_one_line

__all__ = ["EpisodeFacts", "EpisodeReader", "open_dataset", "readable_layout", "recognise"]

LFS_POINTER = b"version https://git-lfs.github.com/spec/"


class EpisodeReader(Protocol):
    """A dataset of demonstrations, read episode by episode.

    The methods that take an episode index raise `EpisodeError` when that one episode cannot be read.
    """

    name: str
    layout: str  # for example "LeRobot v2.1"
    robot_type: str | None
    fps: float  # Hz
    embodiment: Embodiment
    cameras: list[str]
    warnings: list[str]  # sentences about what the dataset declares but does not hold
    tasks: Mapping[int, str]  # task texts by the dataset's own number

    def episode_indices(self) -> list[int]:
        """The dataset's own numbers of its episodes, ascending."""
        ...

    def record(self, index: int) -> Mapping[str, Any]:
        """What the metadata says about the episode, as JSON values: all but its files that its content depends on."""
        ...

    def files(self, index: int) -> list[Path]:
        """Every file the episode's rows and images lie in."""
        ...

    def share(self, index: int, file: Path) -> float:
        """Which part of ``file`` belongs to the episode, in (0, 1]."""
        ...

    def signals(self, index: int) -> pa.Table:
        """The canonical episode (`schemas.SIGNALS`), its ``episode`` column empty until it is identified."""
        ...

    def facts(self, index: int) -> EpisodeFacts:
        """What the dataset says about the episode in words."""
        ...

    def packets(self, index: int, camera: str) -> Iterator[tuple[float, bytes]]:
        """The camera's encoded packets in decoding order, each with seconds since the first shown frame."""
        ...

    def frames(self, index: int, camera: str) -> Iterator[Image]:
        """Exactly as many ``[H, W, 3]`` RGB images as the episode has rows, in their order."""
        ...


Opener = Callable[[Path, str | None], EpisodeReader]

READERS: dict[str, Opener] = {
    "LeRobot v2": open_lerobot_v2,
    "LeRobot v3": open_lerobot_v3,
    "RLDS": open_rlds,
    "HDF5": open_hdf5,
}

REFUSALS: dict[str, str] = {"LeRobot v1": "convert it with LeRobot's own scripts to v2.1 or v3.0 first"}


def open_dataset(path: Path, embodiment: str | None = None) -> EpisodeReader:
    """A reader of the dataset in the folder ``path``.

    Args:
        path: the dataset's folder: the one that holds LeRobot's ``meta/``, or the RLDS or HDF5 files.
        embodiment: a known embodiment's name or a YAML file, instead of a match by robot type.

    Raises:
        DatasetError: when there is no such folder, the layout is unknown or not read, metadata is missing or broken, or
            files are git-LFS pointers.
        ConfigError: when the embodiment is unknown or does not fit.
    """
    layout = readable_layout(path)
    _refuse_lfs_pointers(path)
    try:
        return READERS[layout](path, embodiment)
    except UserError:
        raise
    except Exception as error:  # whatever is wrong with files of strangers, it is told as a finding about them
        raise DatasetError(
            f"The metadata of the {layout} dataset {path} cannot be used ({in_one_line(error)}); restore it."
        ) from error


def readable_layout(path: Path) -> str:
    """The layout of the dataset in ``path``, of which the metadata may be all there is: a key of `READERS`.

    Raises `DatasetError` when it is unknown, or known and not read.
    """
    layout = recognise(path)
    if layout in REFUSALS:
        raise DatasetError(f"{path} is a dataset in the layout {layout}: {REFUSALS[layout]}.")
    return layout


def recognise(path: Path) -> str:
    """The layout of the dataset in ``path``: a key of `READERS` or `REFUSALS`. Raises `DatasetError`."""
    if path.is_file():
        raise DatasetError(f"{path} is a file; give the folder that holds the dataset: {path.parent}.")
    if not path.is_dir():
        raise DatasetError(f"There is no dataset folder {path}; give the folder that holds the dataset's files.")
    if (path / "meta" / "info.json").is_file():
        return _lerobot_version(path)
    if (path / "meta_data" / "info.json").is_file():
        return "LeRobot v1"
    if next(path.rglob("*.tfrecord*"), None) is not None:
        return "RLDS"
    if any(file.suffix in SUFFIXES for file in path.rglob("*")):
        return "HDF5"
    held = sorted(entry.name for entry in path.iterdir())[:5]
    raise DatasetError(
        f"No known layout was recognised in {path} (it holds {held}): a LeRobot dataset has meta/info.json, RLDS has "
        ".tfrecord files, HDF5 demonstrations have .hdf5 or .h5 files; give the folder that holds them."
    )


def _lerobot_version(path: Path) -> str:
    try:
        info = json.loads((path / "meta" / "info.json").read_text(encoding="utf-8"))
        version = str(info.get("codebase_version"))
    except (ValueError, AttributeError) as error:
        _refuse_lfs_pointers(path)
        raise DatasetError(f"{path / 'meta' / 'info.json'} is not a JSON object; restore it.") from error
    layout = f"LeRobot {version.partition('.')[0]}"
    if layout not in READERS and layout not in REFUSALS:
        raise DatasetError(
            f"{path} is a LeRobot dataset of codebase_version {version!r}; this version reads v2.0, v2.1 and v3.x."
        )
    return layout


def _refuse_lfs_pointers(path: Path) -> None:
    pointers = []
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.stat().st_size < 1024:
            with file.open("rb") as stream:
                if stream.read(len(LFS_POINTER)) == LFS_POINTER:
                    pointers.append(file.relative_to(path).as_posix())
    if pointers:
        more = f" and {len(pointers) - 1} more are git-LFS pointers" if len(pointers) > 1 else " is a git-LFS pointer"
        raise DatasetError(
            f"{pointers[0]}{more} instead of the file itself; run `git lfs pull` in {path} and try again."
        )
