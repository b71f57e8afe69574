"""The samples of a training, and the thread that makes batches of them while the model computes.

Images are decoded when their batch is made, on every epoch anew: half a millisecond a frame with two cameras of 96 px,
a twentieth of what the tiny model takes to learn from it, and memory stays at a few batches however large the data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dualvla_core.distillation.objective import Batch
from dualvla_core.episodes.reasoning import render_reasoning
from dualvla_core.errors import ArtifactError
from dualvla_core.models.batches import Share
from dualvla_core.schemas import COLLECTION, MULTIMODAL, check_schema
from dualvla_core.shards.dataset import RobotFrame, ShardDataset
from dualvla_core.shards.reader import ShardReader

TRAINING_SPLIT, HELD_OUT_SPLIT = "train", "held_out"

S_co = TypeVar("S_co", covariant=True)
Raw = TypeVar("Raw")
T = TypeVar("T")


class Samples(Protocol[S_co]):
    """Samples by number, and what each is called in messages."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> S_co: ...

    def name(self, index: int) -> str:
        """Where the sample comes from."""
        ...


@dataclass(frozen=True)
class Source(Generic[Raw]):
    """The samples of a domain and how they become a batch."""

    samples: Samples[Raw]
    collate: Callable[[Sequence[Raw], torch.Generator, Share], Batch]

    def batch(self, indices: Sequence[int], generator: torch.Generator, share: Share) -> Batch:
        """The batch of the samples ``indices``, a ``share`` of the step's; ``generator`` draws their augmentation."""
        return self.collate([self.samples[index] for index in indices], generator, share)


class RobotFrames:
    """The frames of robot shards that belong to one split of a collection, each once."""

    def __init__(
        self, shards: Sequence[Path], collection: Path, action_chunk: int, split: str = TRAINING_SPLIT
    ) -> None:
        self._dataset = ShardDataset(shards, action_chunk, episodes=episodes_of(collection, split))
        if not len(self._dataset):
            raise ArtifactError(f"The shards hold no episode of the {split} split; record more, or hold out fewer.")

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int) -> RobotFrame:
        return self._dataset[index]

    def name(self, index: int) -> str:
        """Episode and frame."""
        frame = self[index]
        return f"episode {frame.episode} frame {frame.frame_index}"


class Questions:
    """The rows of a multimodal shard that belong to one split, memory-mapped."""

    def __init__(self, shard: Path, split: str = TRAINING_SPLIT) -> None:
        path = shard / "multimodal.arrow"
        if not path.is_file():
            raise ArtifactError(f"There is no {path.name} in {shard.name}; expected a multimodal shard.")
        self._table: pa.Table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        check_schema(self._table.schema, MULTIMODAL, path.name)
        splits = np.asarray(self._table.column("split").to_pylist())
        self._rows = np.flatnonzero(splits == split)
        if not len(self._rows):
            raise ArtifactError(f"The multimodal shard has no question of the {split} split; build it from more.")

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Mapping[str, Any]:
        row: Mapping[str, Any] = self._table.slice(int(self._rows[index]), 1).to_pylist()[0]
        return row

    def name(self, index: int) -> str:
        """The sample's id."""
        return f"question {self[index]['sample']}"

    def texts(self) -> Iterator[str]:
        """Every question and answer."""
        chosen = self._table.select(["question", "answer"]).take(self._rows)
        for row in chosen.to_pylist():
            yield row["question"]
            yield row["answer"]


def episodes_of(collection: Path, split: str) -> set[str]:
    """The episodes of one split of a collection."""
    episodes = pq.read_table(collection / "collection.parquet", schema=COLLECTION).to_pylist()
    return {episode["episode"] for episode in episodes if episode["split"] == split}


def robot_texts(shards: Sequence[Path], collection: Path) -> Iterator[str]:
    """The instruction of every training episode, and the reasoning of every frame that has any."""
    wanted = episodes_of(collection, TRAINING_SPLIT)
    for folder in shards:
        shard = ShardReader(folder)
        for row, episode in enumerate(shard.episodes["episode"].to_pylist()):
            if episode in wanted:
                frames = shard.episode(row)
                yield frames.column("instruction")[0].as_py()
                for pieces in frames.column("reasoning").to_pylist():
                    if pieces:
                        yield render_reasoning([(piece["style"], piece["content"]) for piece in pieces])


def prefetched(make: Callable[[int], T], steps: range, ahead: int = 2) -> Iterator[tuple[int, T]]:
    """``(step, make(step))`` in order, made by one thread up to ``ahead`` steps before they are asked for."""
    with ThreadPoolExecutor(1, "batches") as pool:
        waiting: deque[tuple[int, Future[T]]] = deque()
        try:
            for step in steps:
                waiting.append((step, pool.submit(make, step)))
                if len(waiting) > ahead:
                    first, made = waiting.popleft()
                    yield first, made.result()
            for first, made in waiting:
                yield first, made.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
