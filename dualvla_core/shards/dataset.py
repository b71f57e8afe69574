"""Random access to the frames of robot shards, for training."""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.episodes.jpeg import decode_jpeg
from dualvla_core.errors import ArtifactError
from dualvla_core.schemas import IMAGE_PREFIX
from dualvla_core.shards.actions import action_chunk, gripper_actions
from dualvla_core.shards.moments import Moments, merge_moments
from dualvla_core.shards.reader import ShardReader, matrix

_OPEN_EPISODES = 4096
"""Opening one costs a fifth of a millisecond and holds about ten kilobytes, besides pages the system may reclaim."""


@dataclass(frozen=True)
class RobotFrame:
    """One training sample of robot data; actions and state are raw (not normalised)."""

    episode: str
    frame_index: int
    embodiment: str
    instruction: str
    images: dict[str, NDArray[np.uint8]]  # RGB [H, W, 3] per camera
    state: NDArray[np.float32] | None  # [S]
    actions: NDArray[np.float32] | None  # [action_chunk, D], from this frame on
    is_padding: NDArray[np.bool_]  # [action_chunk], True past the end of the episode
    reasoning: tuple[tuple[str, str], ...]  # (style, content) pieces; empty where removed or absent
    keep: bool  # whether the reasoning is to be learnt; where it is not, it is context at most


class ShardDataset:
    """The frames of one or more robot shards, in order; torch-free, and cheap to send to a worker process.

    Shards are memory-mapped: opening costs no reading, only the frame asked for is decoded, and no more than
    ``_OPEN_EPISODES`` episodes are held open, so memory does not grow with the data.

    Args:
        folders: the shards.
        action_chunk: actions of a sample.
        cameras: which images are decoded; None = all. `ArtifactError` if a shard lacks one of them.
        episodes: digests of the episodes to visit, each once even if two shards hold it; None = every episode of
            every shard.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        action_chunk: int = 16,
        cameras: Sequence[str] | None = None,
        episodes: Collection[str] | None = None,
    ) -> None:
        self.folders = tuple(folders)
        self.action_chunk = action_chunk
        self.cameras = None if cameras is None else tuple(cameras)
        self.episodes = None if episodes is None else frozenset(episodes)
        self._shards = [ShardReader(folder) for folder in self.folders]
        for camera in self.cameras or ():
            for shard in self._shards:
                if camera not in shard.cameras:
                    raise ArtifactError(f"A shard has no camera {camera!r}; choose from {shard.cameras}.")
        self._places, lengths = self._chosen()
        self._stops = np.cumsum(lengths, dtype=np.int64)
        self._open = functools.lru_cache(maxsize=_OPEN_EPISODES)(self._opened)

    def __reduce__(self) -> tuple[Any, ...]:
        # Memory maps are opened anew in the worker instead of being copied to it.
        return type(self), (self.folders, self.action_chunk, self.cameras, self.episodes)

    def __len__(self) -> int:
        return int(self._stops[-1]) if len(self._stops) else 0

    def __getitem__(self, index: int) -> RobotFrame:
        """Frame ``index``. Raises `IndexError` outside ``[0, len)``."""
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        number = int(np.searchsorted(self._stops, index, side="right"))
        episode = self._open(number)
        return episode.frame(index - int(self._stops[number]) + episode.length, self.action_chunk, self.cameras)

    def moments(self) -> dict[str, dict[str, Moments]]:
        """Mean, spread and extremes of the visited episodes' raw signals, by embodiment and signal; no frame is read.

        Raises `ArtifactError` when a signal's width differs within an embodiment.
        """
        found: dict[str, list[dict[str, Any]]] = {}
        for number, row in self._places:
            shard = self._shards[number]
            found.setdefault(shard.embodiment.name, []).append(shard.moments[row])
        return {name: merge_moments(rows) for name, rows in found.items()}

    def _chosen(self) -> tuple[list[tuple[int, int]], list[int]]:
        """Shard and row of each episode to visit, and its length."""
        places: list[tuple[int, int]] = []
        lengths: list[int] = []
        left = None if self.episodes is None else set(self.episodes)
        for number, shard in enumerate(self._shards):
            for row, episode in enumerate(shard.episodes.select(["episode", "length"]).to_pylist()):
                if left is not None:
                    if episode["episode"] not in left:
                        continue
                    left.remove(episode["episode"])
                places.append((number, row))
                lengths.append(episode["length"])
        return places, lengths

    def _opened(self, number: int) -> _Episode:
        shard, row = self._places[number]
        return _Episode(self._shards[shard], row)


class _Episode:
    """One episode's record batch with its columns as arrays.

    What is looked up for every frame is no Arrow object: between two images everything has left the processor's caches,
    and each function that is called has to come back.
    """

    def __init__(self, shard: ShardReader, row: int) -> None:
        batch = shard.episode(row)
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        self.length = batch.num_rows
        self.embodiment = shard.embodiment.name
        self.cameras = shard.cameras
        self.name = columns["episode"][0].as_py()
        self.states = matrix(columns["state"], "The column 'state'")
        self.actions = matrix(columns["action"], "The column 'action'")
        if self.actions is not None:
            width = self.actions.shape[1]
            self.relative = ~gripper_actions(shard.embodiment, width) & shard.embodiment.relative_actions
        self.numbers = columns["frame_index"].to_numpy()
        self.keep = columns["keep"].to_numpy(zero_copy_only=False)
        instructions = columns["instruction"].dictionary_encode()
        self.instructions = instructions.dictionary.to_pylist()
        self.instruction = instructions.indices.to_numpy()
        self.reasoning = columns["reasoning"]
        self.reasoned = self.reasoning.is_valid().to_numpy(zero_copy_only=False)
        self.images = {camera: _images(columns[IMAGE_PREFIX + camera]) for camera in shard.cameras}

    def frame(self, row: int, chunk: int, cameras: Sequence[str] | None) -> RobotFrame:
        if self.actions is None:
            actions, over = None, np.arange(row, row + chunk) >= self.length
        else:
            actions, over = action_chunk(self.actions, row, chunk, self.relative)
        pieces = self.reasoning[row].as_py() if self.reasoned[row] else ()
        return RobotFrame(
            episode=self.name,
            frame_index=int(self.numbers[row]),
            embodiment=self.embodiment,
            instruction=self.instructions[self.instruction[row]],
            images={
                camera: _decoded(*self.images[camera], row) for camera in (self.cameras if cameras is None else cameras)
            },
            state=None if self.states is None else self.states[row],
            actions=actions,
            is_padding=over,
            reasoning=tuple((piece["style"], piece["content"]) for piece in pieces),
            keep=bool(self.keep[row]),
        )


def _images(column: pa.BinaryArray) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Where each encoded image begins and ends ``[T + 1]``, and the bytes of all of them; nothing is copied."""
    _, offsets, data = column.buffers()
    places = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    return places, np.frombuffer(data, np.uint8)


def _decoded(places: NDArray[np.int32], data: NDArray[np.uint8], row: int) -> NDArray[np.uint8]:
    """The RGB pixels ``[H, W, 3]`` of an encoded image. Raises `ArtifactError` when it is broken."""
    try:
        return decode_jpeg(data[places[row] : places[row + 1]])
    except ValueError as error:
        raise ArtifactError("An image of a shard cannot be decoded; build the shard again.") from error
