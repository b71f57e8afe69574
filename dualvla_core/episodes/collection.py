"""The collection: which decoded episodes a run works with, where each lies, and which were left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core import schemas
from dualvla_core.episodes.splits import splits_of
from dualvla_core.params import Summary


@dataclass(frozen=True)
class DecodedSegment:
    """A decoded segment: the key it is stored under and the folder it can be read from."""

    key: str
    folder: Path


def collect_episodes(held_out_fraction: float, scan: Path, segments: Sequence[DecodedSegment], output: Path) -> Summary:
    """Write ``collection.parquet`` (`schemas.COLLECTION`) and ``skipped.parquet`` (`schemas.SKIPPED`).

    Every episode of the scan is in exactly one of the two, in the scan's order. Where two segments hold the same
    episode (two runs decoded it at once) the one with the smaller key is used.
    """
    places, failures = _places(segments), _failures(segments)
    rows, skipped = [], pq.read_table(scan / "skipped.parquet", schema=schemas.SKIPPED).to_pylist()
    scanned = pq.read_table(scan / "scan.parquet", schema=schemas.SCAN).to_pylist()
    decoded = (episode["initial_condition"] for episode in scanned if episode["episode"] in places)
    splits = splits_of(decoded, held_out_fraction)
    for episode in scanned:
        digest = episode["episode"]
        if digest in places:
            segment, position = places[digest]
            split = splits[episode["initial_condition"]]
            rows.append({**episode, "segment": segment, "position": position, "split": split})
        else:
            reason = failures.get(digest, "It was not decoded; run again to decode it.")
            skipped.append({"episode_index": episode["episode_index"], "episode": digest, "reason": reason})
    collection = pa.Table.from_pylist(
        [{name: row[name] for name in schemas.COLLECTION.names} for row in rows], schema=schemas.COLLECTION
    )
    pq.write_table(collection, output / "collection.parquet", compression="zstd")
    skipped.sort(key=lambda row: row["episode_index"])
    pq.write_table(
        pa.Table.from_pylist(skipped, schema=schemas.SKIPPED), output / "skipped.parquet", compression="zstd"
    )
    return {
        "episodes": len(rows),
        "held_out_episodes": sum(row["split"] == "held_out" for row in rows),
        "frames": sum(row["length"] for row in rows),
        "skipped_episodes": len(skipped),
    }


def _places(segments: Sequence[DecodedSegment]) -> dict[str, tuple[str, int]]:
    places: dict[str, tuple[str, int]] = {}
    for segment in sorted(segments, key=lambda segment: segment.key):
        index = pq.read_table(segment.folder / "episodes.parquet", columns=["episode"])
        for position, digest in enumerate(index.column("episode").to_pylist()):
            places.setdefault(digest, (segment.key, position))
    return places


def _failures(segments: Sequence[DecodedSegment]) -> dict[str, str]:
    return {
        row["episode"]: row["reason"]
        for segment in segments
        for row in pq.read_table(segment.folder / "skipped.parquet", schema=schemas.SKIPPED).to_pylist()
        if row["episode"] is not None
    }
