"""Normalisation statistics of many rows: time, and how far the quantiles are from those of sorting everything.

    python benchmarks/normalisation.py [--rows 10000000]

Rows are seven actions and seven states in segments as decoding writes them, without images, since none are read. NumPy
holds everything at once and sorts it: what is exact, and what memory it takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from dualvla_core.episodes.embodiment import load_embodiments
from dualvla_core.episodes.segment import Segment, SegmentWriter
from dualvla_core.schemas import frames_schema
from dualvla_core.shards.config import StatisticsConfig
from dualvla_core.shards.sketch import QUANTILE_ERROR
from dualvla_core.shards.statistics import compute_statistics

FRAMES = 200
EPISODES = 250  # a segment
EMBODIMENT = load_embodiments()["metaworld_sawyer"]


def write_segments(root: Path, rows: int) -> list[Path]:
    rng = np.random.default_rng(0)
    folders = []
    for number in range(rows // (FRAMES * EPISODES)):
        folder = root / f"segment-{number}"
        folder.mkdir()
        with SegmentWriter(folder, EMBODIMENT, []) as segment:
            for episode in range(EPISODES):
                segment.append(_episode(rng, f"{number}-{episode}"), 80.0)
        folders.append(folder)
    return folders


def _episode(rng: np.random.Generator, name: str) -> pa.RecordBatch:
    schema = frames_schema([])
    values = (rng.normal(size=(FRAMES, 14)) ** 3).astype(np.float32)
    columns = {field.name: pa.nulls(FRAMES, field.type) for field in schema}
    for column, part in (("action", values[:, :7]), ("state", values[:, 7:])):
        columns[column] = pa.ListArray.from_arrays(
            np.arange(FRAMES + 1, dtype=np.int32) * 7, pa.array(np.ascontiguousarray(part).reshape(-1))
        )
    columns |= {
        "episode": pa.array([name] * FRAMES),
        "frame_index": pa.array(np.arange(FRAMES), pa.int32()),
        "timestamp": pa.array(np.arange(FRAMES) / 80),
        "instruction": pa.array(["move"] * FRAMES),
    }
    return pa.RecordBatch.from_pydict(columns, schema=schema)


def exact(folders: list[Path]) -> np.ndarray:
    parts = []
    for folder in folders:
        segment = Segment(folder)
        for position in range(len(segment)):
            parts.append(segment.signals(position).column("action").flatten().to_numpy().reshape(-1, 7))
    return np.quantile(np.concatenate(parts), (0.01, 0.99), axis=0)


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = write_segments(Path(scratch), options.rows)
        names = [name for folder in folders for name in Segment(folder).episodes["episode"].to_pylist()]
        memory = [megabytes()]
        start = time.process_time()
        compute_statistics(StatisticsConfig(), folders, names, Path(scratch))
        ours = time.process_time() - start
        memory.append(megabytes())
        found = json.loads((Path(scratch) / "statistics.json").read_text())[EMBODIMENT.name]["action"]
        start = time.process_time()
        reference = exact(folders)
        sorting = time.process_time() - start
        memory.append(megabytes())
    errors = np.abs(np.array([found["q01"], found["q99"]]) / reference - 1)
    print(f"statistics of {len(names) * FRAMES:,} rows of 7 actions and 7 states\n")
    print("| program | processor seconds | memory it adds |\n|---|---|---|")
    print(f"| this project, all statistics of actions and states | {ours:.1f} | {memory[1] - memory[0]:.0f} MB |")
    print(f"| NumPy, two quantiles of the actions alone | {sorting:.1f} | {memory[2] - memory[1]:.0f} MB |")
    print(f"\nLargest relative error of a quantile: {errors.max():.1e} (stated: {QUANTILE_ERROR:.1e}).")
    if errors.max() > 2 * QUANTILE_ERROR:
        raise SystemExit("A quantile is farther off than stated.")


if __name__ == "__main__":
    main()
