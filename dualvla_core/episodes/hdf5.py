"""Reading HDF5 demonstrations in the layouts of robomimic (and LIBERO) and ALOHA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa

from dualvla_core.episodes.canonical import EpisodeFacts, canonical_signals, relative_times
from dualvla_core.episodes.embodiment import match_embodiment
from dualvla_core.episodes.hdf5_layout import Episode, Hdf5Layout, images, layout_of
from dualvla_core.episodes.images import decode_image
from dualvla_core.episodes.video import Image
from dualvla_core.errors import ConfigError, DatasetError, EpisodeError, one_episode

SUFFIXES = (".hdf5", ".h5")


@dataclass(frozen=True)
class _Place:
    """Where an episode lies; ``problem`` says why the whole file cannot be read."""

    file: Path
    group: str
    problem: str | None = None


def open_hdf5(root: Path, embodiment: str | None = None) -> Hdf5Reader:
    """A reader of the HDF5 files in and below ``root``. Raises `DatasetError` or `ConfigError`."""
    return Hdf5Reader(root, embodiment)


class Hdf5Reader:
    """An `EpisodeReader` of HDF5 files, which all have the layout of the first; it keeps one file open."""

    def __init__(self, root: Path, embodiment: str | None) -> None:
        self._root = root
        self._open: tuple[Path, h5py.File] | None = None
        files = sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES and file.is_file())
        self._layout = self._first_layout(files)
        self._places = [place for file in files for place in self._episodes_of(file)]
        file, episode = self._sample(len(files))
        self.name = root.name
        self.layout = f"HDF5 ({self._layout.name})"
        self.robot_type = self._layout.robot(file)
        widths = {name: int(np.prod(part.shape[1:], dtype=int)) for name, part in episode.columns.items()}
        self.embodiment = match_embodiment(self.robot_type, widths, embodiment)
        rate = self._layout.frame_rate(file) or self.embodiment.control_hz
        if rate is None:
            raise ConfigError(
                f"The HDF5 files record no frame rate and the embodiment {self.embodiment.name!r} gives none; describe "
                "the robot in an embodiment file with its control_hz."
            )
        self.fps = rate
        self.cameras = list(episode.cameras)
        if not self.cameras:
            raise DatasetError(
                "The HDF5 files hold no images (RGB, 8 bits); render them first (robomimic: dataset_states_to_obs.py)."
            )
        self.tasks: Mapping[int, str] = {}
        self.warnings = [f"{name!r} is neither colour images nor numbers; it is not read." for name in episode.not_read]

    def _first_layout(self, files: list[Path]) -> Hdf5Layout:
        held: list[str] = []
        for path in files:
            with suppress(EpisodeError), one_episode():
                file = self._file(path)
                found = layout_of(file)
                if found:
                    return found
                held = held or sorted(file)[:5]
        raise DatasetError(
            f"The HDF5 files in {self._root} have none of the known layouts (the first readable one holds {held}); "
            "expected data/demo_*/obs as robomimic and LIBERO write it, or observations/qpos as ALOHA does."
        )

    def _episodes_of(self, path: Path) -> list[_Place]:
        try:
            with one_episode():
                file = self._file(path)
                if layout_of(file) is self._layout:
                    return [_Place(path, group) for group in self._layout.groups(file)]
        except EpisodeError as error:
            return [_Place(path, "/", str(error))]
        return [_Place(path, "/", f"{path.name} does not have the layout {self._layout.name} of the other files.")]

    def _sample(self, files: int) -> tuple[h5py.File, Episode]:
        """The first episode that can be read, and its file: it stands for all."""
        for number, place in enumerate(self._places):
            with suppress(EpisodeError), one_episode():
                return self._file(place.file), self._episode(number)
        raise DatasetError(f"None of the {files} HDF5 files in {self._root} holds an episode that can be read.")

    def _file(self, path: Path) -> h5py.File:
        """The open file. Raises `EpisodeError` when it is no HDF5 file or cut short."""
        if self._open is None or self._open[0] != path:
            if self._open:
                self._open[1].close()
                self._open = None
            try:
                self._open = (path, h5py.File(path, "r", locking=False))
            except OSError as error:
                reason = f"{path.name} is missing, no HDF5 file or cut short; fetch it again."
                raise EpisodeError(reason) from error
        return self._open[1]

    def _episode(self, index: int) -> Episode:
        place = self._places[index]
        if place.problem:
            raise EpisodeError(place.problem)
        return self._layout.episode(self._file(place.file), place.group)

    def episode_indices(self) -> list[int]:
        """All episodes, file after file."""
        return list(range(len(self._places)))

    def record(self, index: int) -> Mapping[str, Any]:
        """Which group of its file the episode is, and the frame rate."""
        return {"group": self._places[index].group, "fps": self.fps}

    def files(self, index: int) -> list[Path]:
        """The HDF5 file."""
        return [self._places[index].file]

    def share(self, index: int, file: Path) -> float:  # noqa: ARG002 - all of a file's episodes share equally
        """An equal part for each of the file's episodes."""
        return 1 / sum(place.file == file for place in self._places)

    def signals(self, index: int) -> pa.Table:
        """See `EpisodeReader.signals`."""
        episode = self._episode(index)
        wanted = [*self.embodiment.columns, *self.embodiment.action_columns]
        present = {name: episode.columns[name] for name in wanted if name in episode.columns}
        lengths = {name: len(part) for name, part in {**present, **episode.cameras}.items()}
        if len(set(lengths.values())) > 1:
            raise EpisodeError(f"The parts of the episode differ in length: {lengths}.", about="counts")
        length = next(iter(lengths.values()))
        rows = pa.table({name: _lists(part) for name, part in present.items()})
        times = relative_times(None, self.fps, length)
        return canonical_signals(rows, self.embodiment, times, [episode.instruction] * length, None)

    def facts(self, index: int) -> EpisodeFacts:
        """Length and words of the episode; HDF5 demonstrations name no initial condition."""
        episode, place = self._episode(index), self._places[index]
        return EpisodeFacts(
            length=len(next(iter(episode.cameras.values()), [])),
            task=episode.task,
            instruction=episode.instruction,
            initial_condition=None,
            source_file=place.file.relative_to(self._root).as_posix(),
            source_id=place.group.rpartition("/")[2],
        )

    def packets(self, index: int, camera: str) -> Iterator[tuple[float, bytes]]:
        """See `EpisodeReader.packets`; every image is a packet of its own, as it was stored."""
        stored = self._camera(index, camera)
        times = relative_times(None, self.fps, len(stored)).tolist()
        return ((time, np.ascontiguousarray(row).tobytes()) for time, row in zip(times, images(stored), strict=True))

    def frames(self, index: int, camera: str) -> Iterator[Image]:
        """See `EpisodeReader.frames`."""
        for row in images(self._camera(index, camera)):
            yield row if row.ndim == 3 else decode_image(np.asarray(row, np.uint8).tobytes(), camera)

    def _camera(self, index: int, camera: str) -> h5py.Dataset:
        cameras = self._episode(index).cameras
        if camera not in cameras:
            raise EpisodeError(f"The episode has no images of camera {camera!r}; it has {sorted(cameras)}.", "images")
        return cameras[camera]


def _lists(part: h5py.Dataset) -> pa.Array:
    try:
        values = part[()].reshape(len(part), -1)
    except OSError as error:
        raise EpisodeError(f"{part.name!r} cannot be read from the HDF5 file; fetch it again.") from error
    return pa.array(list(values))
