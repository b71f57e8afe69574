"""Embodied reasoning about a dataset in files of its own: JSON in the style of VLA-IT or of ECoT.

Both are ``{source file: {source id: entry}}``. An entry of VLA-IT holds ``alt_instruction`` about the whole episode
(``Caption``, and lists of questions with answers: ``QA``, command rewriting ``CR``, context creation ``CC``) and
``features.move_primitive``, one text per frame. One of ECoT holds ``reasoning``, by frame number, of ``task``,
``plan``, ``subtask``, ``subtask_reason``, ``move`` and ``move_reason``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dualvla_core.episodes.config import AnnotateConfig
from dualvla_core.errors import DatasetError, EpisodeError
from dualvla_core.params import Summary
from dualvla_core.schemas import ANNOTATIONS, SCAN, UNUSED_ANNOTATIONS

ANNOTATIONS_FILE = "annotations.parquet"
_ASKED = {"QA": "qa", "CR": "command_rewriting", "CC": "context_creation"}
_ECOT = ("task", "plan", "subtask_reason", "subtask", "move_reason", "move")
_STYLES = {"move": "motion", "move_reason": "motion_reason"}


@dataclass(frozen=True)
class Piece:
    """A piece of reasoning; without a frame it is about the whole episode."""

    frame_index: int | None
    style: str
    content: str
    question: str | None = None


def read_annotations(params: AnnotateConfig, files: Sequence[Path], scan: Path, output: Path) -> Summary:
    """Write ``annotations.parquet`` (`ANNOTATIONS`) and ``unused.parquet`` (`UNUSED_ANNOTATIONS`).

    An entry is about the episode of the scan whose ``source_file`` and ``source_id`` are its two keys. Entries about no
    episode, and those that do not fit theirs, are listed with the reason.

    Raises `DatasetError` when a file is missing or has neither style.
    """
    episodes = pq.read_table(scan / "scan.parquet", schema=SCAN).to_pylist()
    by_source = {(row["source_file"], row["source_id"]): row for row in episodes}
    rows: list[dict[str, Any]] = []
    unused: list[dict[str, str]] = []
    for file in files:
        for source, entry in _entries(file):
            try:
                episode, pieces = _matched(by_source.get(source), entry, params.first_frame)
            except EpisodeError as error:
                names = {"file": file.name, "source_file": source[0], "source_id": source[1]}
                unused.append({**names, "reason": str(error)})
                continue
            rows += [{"episode": episode, **asdict(piece)} for piece in pieces]
    pq.write_table(pa.Table.from_pylist(rows, ANNOTATIONS), output / ANNOTATIONS_FILE, compression="zstd")
    pq.write_table(pa.Table.from_pylist(unused, UNUSED_ANNOTATIONS), output / "unused.parquet", compression="zstd")
    return {"episodes": len({row["episode"] for row in rows}), "pieces": len(rows), "unused": len(unused)}


def _entries(file: Path) -> Iterator[tuple[tuple[str, str], Any]]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        found = [((str(path), str(name)), entry) for path, by_id in content.items() for name, entry in by_id.items()]
    except FileNotFoundError:
        raise DatasetError(f"There is no annotation file {file}; correct dataset.annotations.") from None
    except (ValueError, AttributeError) as error:
        raise DatasetError(
            f"The annotation file {file.name} is not JSON of the form {{file: {{episode: entry}}}}, as VLA-IT and ECoT "
            "are written; restore it."
        ) from error
    yield from found


def _matched(row: Mapping[str, Any] | None, entry: Any, first_frame: int) -> tuple[str, list[Piece]]:
    """The episode and what the entry says about it. Raises `EpisodeError` when the two do not go together."""
    if row is None:
        raise EpisodeError("The dataset has no such episode.")
    if not isinstance(entry, Mapping) or not {"alt_instruction", "features", "reasoning"} & entry.keys():
        raise EpisodeError("The entry has none of alt_instruction, features and reasoning.")
    try:
        pieces = [*_about_episode(entry.get("alt_instruction") or {}), *_about_frames(entry, first_frame)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EpisodeError(f"The entry cannot be read ({type(error).__name__}: {error}).") from error
    last = max((piece.frame_index for piece in pieces if piece.frame_index is not None), default=-1)
    if last >= row["length"]:
        raise EpisodeError(
            f"It speaks of frame {last}, counted from {first_frame}, but the episode has {row['length']} frames."
        )
    return row["episode"], pieces


def _about_episode(about: Mapping[str, Any]) -> Iterator[Piece]:
    if about.get("Caption"):
        yield Piece(None, "caption", str(about["Caption"]))
    for key, style in _ASKED.items():
        for item in about.get(key) or []:
            yield Piece(None, style, str(item["answer"]), str(item["question"]))


def _about_frames(entry: Mapping[str, Any], first_frame: int) -> Iterator[Piece]:
    reasoning = entry.get("reasoning") or {}
    for number, said in sorted(reasoning.items(), key=lambda pair: int(pair[0])):
        for key in _ECOT:
            if said.get(key):
                yield Piece(int(number) + first_frame, _STYLES.get(key, key), str(said[key]))
    moves = (entry.get("features") or {}).get("move_primitive") or []
    if not reasoning:  # ECoT says its moves in the reasoning already
        yield from (Piece(number + first_frame, "motion", str(text)) for number, text in enumerate(moves) if text)
