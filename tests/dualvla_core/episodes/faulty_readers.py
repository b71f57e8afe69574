"""Readers whose second episode goes wrong in a chosen way; importable by the decoding process."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dualvla_core.episodes.reader import EpisodeReader, open_dataset

BAD = 1


class FaultyReader:
    """The real reader, but for the frames of episode 1."""

    def __init__(self, reader: EpisodeReader, spoil: Callable[[Iterator[Any], list[Path]], Iterator[Any]]) -> None:
        self._reader = reader
        self._spoil = spoil

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def frames(self, index: int, camera: str) -> Iterator[Any]:
        frames = self._reader.frames(index, camera)
        return self._spoil(frames, self._reader.files(index)) if index == BAD else frames


def crash(frames: Iterator[Any], files: list[Path]) -> Iterator[Any]:
    yield next(frames)
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(frames: Iterator[Any], files: list[Path]) -> Iterator[Any]:
    yield next(frames)
    time.sleep(600)


def lose_one(frames: Iterator[Any], files: list[Path]) -> Iterator[Any]:
    yield from list(frames)[1:]


def stumble(frames: Iterator[Any], files: list[Path]) -> Iterator[Any]:
    yield next(frames)
    raise KeyError("no such codec")


def overwrite(frames: Iterator[Any], files: list[Path]) -> Iterator[Any]:
    yield from frames
    files[0].write_bytes(files[0].read_bytes() + b" ")


def open_crashing(path: Path, embodiment: str | None) -> Any:
    return FaultyReader(open_dataset(path, embodiment), crash)


def open_hanging(path: Path, embodiment: str | None) -> Any:
    return FaultyReader(open_dataset(path, embodiment), hang)


def open_losing(path: Path, embodiment: str | None) -> Any:
    return FaultyReader(open_dataset(path, embodiment), lose_one)


def open_stumbling(path: Path, embodiment: str | None) -> Any:
    return FaultyReader(open_dataset(path, embodiment), stumble)


def open_overwriting(path: Path, embodiment: str | None) -> Any:
    return FaultyReader(open_dataset(path, embodiment), overwrite)


def open_in_parent_only(path: Path, embodiment: str | None) -> Any:
    if os.environ.get("DUALVLA_TEST_PARENT") != str(os.getpid()):
        raise SystemExit(3)
    return open_dataset(path, embodiment)
