"""Open-loop evaluation: how far a policy's actions are from those of held-out demonstrations.

It needs no simulator, and tells less: errors are not fed back, and another action may be as good as the one shown.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.config import OpenLoopConfig
from dualvla_core.evaluation.policy import Policy, committed
from dualvla_core.evaluation.tables import OPEN_LOOP, OPEN_LOOP_FILE
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.shards import ShardDataset
from dualvla_core.shards.reader import ShardReader
from dualvla_core.shards.statistics import STATISTICS_FILE


@dataclass(frozen=True)
class _Episode:
    """Where an episode's frames lie in the dataset."""

    name: str
    embodiment: str
    start: int
    length: int


def evaluate_open_loop(
    params: OpenLoopConfig,
    shards: Sequence[Path],
    episodes: Collection[str],
    statistics: Path,
    policy: Policy,
    output: Path,
    progress: Progress = silent,
) -> Summary:
    """Ask the policy at every ``stride``-th frame of ``episodes`` and write ``open_loop.parquet``.

    Errors are mean absolute differences over the first ``chunk`` actions of each decision, in raw units and in units of
    half the training data's 1 % to 99 % range (the scale actions are learned on; dimensions that are not normalised
    stay raw). Actions past the end of an episode are not counted.

    Args:
        params: how many actions are compared, and how often.
        shards: folders of robot shards.
        episodes: digests of the episodes to evaluate, usually the held-out ones.
        statistics: folder of ``statistics.json``.
        policy: whose actions are measured.
        output: an empty folder.
        progress: told the number of episodes done.

    Returns:
        Counts of episodes and decisions, and ``error`` and ``normalised_error``: the mean over dimensions, and each
        dimension's as ``error.<dimension>`` and ``normalised_error.<dimension>``, all over actions and not episodes.

    Raises:
        ArtifactError: when an episode is in none of the shards, or has no actions or statistics.
        PolicyError: when the policy's chunks are shorter than ``chunk``.
    """
    wanted = [episode for episode in _index(shards) if episode.name in set(episodes)]
    if not wanted or len(wanted) < len(set(episodes)):
        raise ArtifactError(
            f"{len(wanted)} of the {len(set(episodes))} episodes to evaluate are in the {len(shards)} shards; expected "
            "all of them and at least one; build their shards first."
        )
    scales = _action_scales(statistics / STATISTICS_FILE)
    dataset = ShardDataset(shards, action_chunk=params.chunk)
    rows: list[dict[str, Any]] = []
    decisions = 0
    for done, episode in enumerate(wanted, start=1):
        if episode.embodiment not in scales:
            raise ArtifactError(f"{STATISTICS_FILE} has no action statistics of {episode.embodiment!r}; compute them.")
        frames = range(episode.start, episode.start + episode.length, params.stride)
        differences = _differences(dataset, frames, policy, params.chunk, zlib.crc32(episode.name.encode()))
        decisions += len(frames)
        errors, scale = differences.mean(axis=0), scales[episode.embodiment]
        rows += [
            {
                "episode": episode.name,
                "dimension": dimension,
                "actions": len(differences),
                "error": float(error),
                "normalised_error": float(error / scale[dimension]),
            }
            for dimension, error in enumerate(errors)
        ]
        progress(done, len(wanted))
    table = pa.Table.from_pylist(rows, OPEN_LOOP)
    pq.write_table(table, output / OPEN_LOOP_FILE, compression="zstd")
    return {"episodes": len(wanted), "decisions": decisions, **_summary(table)}


def _index(shards: Sequence[Path]) -> list[_Episode]:
    found, start = [], 0
    for folder in shards:
        shard = ShardReader(folder)
        names, lengths = (shard.episodes[column].to_pylist() for column in ("episode", "length"))
        for name, length in zip(names, lengths, strict=True):
            found.append(_Episode(name, shard.embodiment.name, start, length))
            start += length
    return found


def _differences(
    dataset: ShardDataset, frames: Sequence[int], policy: Policy, chunk: int, seed: int
) -> npt.NDArray[np.float64]:
    """Absolute differences ``[N, A]`` of every action compared in one episode."""
    policy.reset(seed)
    found = []
    for index in frames:
        frame = dataset[index]
        if frame.actions is None:
            raise ArtifactError(f"Episode {frame.episode} has no actions; evaluate demonstrations that have them.")
        decided = policy.act({"images": frame.images, "state": frame.state}, frame.instruction)
        actions = committed(decided, chunk).actions
        if actions.shape != frame.actions.shape:
            raise ArtifactError(
                f"The policy's actions have {actions.shape[1]} dimensions, episode {frame.episode} has "
                f"{frame.actions.shape[1]}; evaluate it on the embodiment it was trained for."
            )
        found.append(np.abs(actions.astype(np.float64) - frame.actions)[~frame.is_padding])
    return np.concatenate(found)


def _action_scales(path: Path) -> dict[str, list[float]]:
    """Per embodiment, half the 1 % to 99 % range of each action dimension; 1 where it is not normalised or constant."""
    try:
        statistics = json.loads(path.read_text(encoding="utf-8"))
        actions = {name: each["action"] for name, each in statistics.items() if "action" in each}
        return {
            name: [
                (high - low) / 2 if normalised and high > low else 1.0
                for low, high, normalised in zip(each["q01"], each["q99"], each["mask"], strict=True)
            ]
            for name, each in actions.items()
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path.name} of {path.parent.name!r} cannot be read; compute the statistics.") from error


def _summary(table: pa.Table) -> Summary:
    counts = table["actions"].to_numpy()
    dimensions = table["dimension"].to_numpy()
    summary: Summary = {}
    for measure in ("error", "normalised_error"):
        values = table[measure].to_numpy()
        means = [
            float(np.average(values[dimensions == dimension], weights=counts[dimensions == dimension]))
            for dimension in np.unique(dimensions)
        ]
        summary[measure] = float(np.mean(means))
        summary |= {f"{measure}.{dimension}": mean for dimension, mean in enumerate(means)}
    return summary
