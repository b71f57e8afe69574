"""Stage: find and identify every readable episode of a dataset."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.file_digests import FileDigests
from dualvla_core.episodes.identity import episode_digest
from dualvla_core.episodes.reader import EpisodeReader, open_dataset
from dualvla_core.errors import EpisodeError, one_episode
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import FORMAT_VERSION, SCAN, SKIPPED, check_schema

_Row: TypeAlias = dict[str, Any]
_Known: TypeAlias = Mapping[tuple[int, str], _Row]


def scan_demonstrations(
    dataset: Path,
    embodiment: str | None,
    output: Path,
    progress: Progress = silent,
    previous: Path | None = None,
    memo: FileDigests | None = None,
) -> Summary:
    """Write ``scan.parquet`` (`SCAN`), ``skipped.parquet`` (`SKIPPED`) and ``dataset.json`` for the folder ``dataset``.

    A broken episode is listed as skipped with its reason and the others go on; so is a repetition of another episode.

    Args:
        dataset: the dataset's folder.
        embodiment: a known embodiment's name or a YAML file; none = by the dataset's robot type.
        output: an empty folder.
        progress: told how many episodes are done.
        previous: an earlier output for the same dataset; episodes whose files and metadata have not changed keep the
            identity found there, and only the others are read.
        memo: remembered file digests; it is added to.

    Raises:
        DatasetError: when the whole dataset cannot be read.
        ConfigError: when the embodiment does not fit.
    """
    reader = open_dataset(dataset, embodiment)
    memo = FileDigests() if memo is None else memo
    known = _known_rows(previous, reader) if previous else {}
    found: dict[str, _Row] = {}
    skipped: list[_Row] = []
    indices = reader.episode_indices()
    for done, index in enumerate(indices):
        progress(done, len(indices))
        try:
            with one_episode():
                row = _scan_episode(reader, dataset, index, memo, known)
        except EpisodeError as error:
            skipped.append({"episode_index": index, "episode": None, "reason": str(error)})
            continue
        first = found.setdefault(row["episode"], row)
        if first is not row:
            reason = f"It is the same demonstration as episode {first['episode_index']}."
            skipped.append({"episode_index": index, "episode": row["episode"], "reason": reason})
    progress(len(indices), len(indices))
    rows = list(found.values())
    pq.write_table(pa.Table.from_pylist(rows, SCAN), output / "scan.parquet", compression="zstd")
    pq.write_table(pa.Table.from_pylist(skipped, SKIPPED), output / "skipped.parquet", compression="zstd")
    totals = {
        "episodes": len(rows),
        "frames": sum(row["length"] for row in rows),
        "skipped": len(skipped),
        "source_bytes": sum(row["source_bytes"] for row in rows),
    }
    text = json.dumps(_description(reader) | {"totals": totals}, indent=2, ensure_ascii=False)
    (output / "dataset.json").write_text(text + "\n", encoding="utf-8")
    return {**totals, "layout": reader.layout, "embodiment": reader.embodiment.name}


def _scan_episode(reader: EpisodeReader, dataset: Path, index: int, memo: FileDigests, known: _Known) -> _Row:
    """One row of `SCAN`. Raises `EpisodeError` when the episode cannot be read."""
    files = reader.files(index)
    for file in files:
        if not file.is_file():
            raise EpisodeError(f"The file {file.relative_to(dataset).as_posix()} is missing.")
    contents = [memo.sha256(dataset, file) for file in files]
    depends_on = json.dumps([contents, reader.record(index)], sort_keys=True, default=str)
    files_digest = hashlib.sha256(depends_on.encode()).hexdigest()
    if (index, files_digest) in known:
        return known[index, files_digest]
    signals = reader.signals(index)
    packets = {camera: reader.packets(index, camera) for camera in reader.cameras}
    digest = episode_digest(signals, packets, reader.embodiment)
    facts = reader.facts(index)
    return {
        "episode": digest,
        "episode_index": index,
        "length": facts.length,
        "fps": reader.fps,
        "embodiment": reader.embodiment.name,
        "task": facts.task,
        "instruction": facts.instruction,
        "initial_condition": digest if facts.initial_condition is None else facts.initial_condition,
        "cameras": reader.cameras,
        "source_bytes": round(sum(file.stat().st_size * reader.share(index, file) for file in files)),
        "files_digest": files_digest,
        "source_file": facts.source_file,
        "source_id": facts.source_id,
    }


def _description(reader: EpisodeReader) -> dict[str, Any]:
    """What is true of the dataset as a whole, as JSON values."""
    return {
        "format": FORMAT_VERSION,
        "layout": reader.layout,
        "robot_type": reader.robot_type,
        "fps": reader.fps,
        "cameras": reader.cameras,
        "tasks": {str(number): text for number, text in sorted(reader.tasks.items())},
        "warnings": reader.warnings,
        "embodiment": reader.embodiment.model_dump(mode="json"),
    }


def _known_rows(previous: Path, reader: EpisodeReader) -> _Known:
    """The rows of an earlier scan that still hold where an episode's files did; none when the dataset reads otherwise.

    New task texts may have come: an episode that used them would have new files as well.
    """
    before = json.loads((previous / "dataset.json").read_text(encoding="utf-8"))
    now = _description(reader)
    same = all(before[key] == now[key] for key in ("format", "fps", "cameras", "embodiment"))
    if not same or not before["tasks"].items() <= now["tasks"].items():
        return {}
    table = pq.read_table(previous / "scan.parquet")
    check_schema(table.schema, SCAN, "scan.parquet")
    return {(row["episode_index"], row["files_digest"]): row for row in table.to_pylist()}
