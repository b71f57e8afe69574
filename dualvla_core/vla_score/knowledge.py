"""The knowledge base: judged attempts that a judge is shown as examples, refined by a person.

A base is a folder of rollouts with one more table, `BASE`: what a judge proposed, what a person made of it, and who.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from dualvla_core.errors import ArtifactError, UserError
from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.trajectory import Trajectory, read_trajectories, write_trajectories
from dualvla_core.params import Params, Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.schemas import check_schema
from dualvla_core.vla_score.judge import DIMENSIONS, Judge, Verdict
from dualvla_core.vla_score.ratings import RatingsError, grade_of, read_rows
from dualvla_core.vla_score.recorded import trajectory_digest
from dualvla_core.vla_score.stage import judge_all

BASE_FILE, REVIEW_FILE = "knowledge.parquet", "review.csv"

BASE = pa.schema(
    [
        pa.field("rollout", pa.int32(), False),  # row of the base's own rollouts
        pa.field("trajectory", pa.string(), False),
        *(pa.field(name, pa.int32()) for name in DIMENSIONS),  # what counts: the person's grades, else the proposal
        pa.field("thought", pa.string(), False),
        *(pa.field(f"proposed_{name}", pa.int32()) for name in DIMENSIONS),
        pa.field("judge", pa.string(), False),  # identity of who proposed
        pa.field("reviewer", pa.string()),  # null: nobody has looked at it
        pa.field("note", pa.string()),
    ]
)
"""One row per attempt."""

REVIEW_COLUMNS = ("trajectory", "task", "seed", "instruction", "policy", "success")
"""Columns of the review file that tell what is judged; reviewer, the grades and note follow them."""


class KnowledgeError(UserError):
    """A knowledge base that cannot be made or reviewed."""


class KnowledgeBuildConfig(Params):
    """Which attempts become examples."""

    size: int = Field(default=100, ge=2, description="Attempts, spread over policies, tasks and outcomes")


@dataclass(frozen=True)
class Entry:
    """One attempt with the verdict that counts."""

    trajectory: Trajectory
    verdict: Verdict
    reviewer: str | None


def build_knowledge_base(
    config: KnowledgeBuildConfig,
    sources: Sequence[Path],
    judge: Judge,
    output: Path,
    progress: Progress = silent,
    *,
    workers: int = 1,
) -> Summary:
    """Choose diverse attempts from folders of rollouts, have them judged, and write them for review.

    Attempts without a verdict are left out and counted.

    Raises:
        KnowledgeError: when the sources have different limits of steps, or no attempt could be judged.
    """
    limits = {read_protocol(source).max_steps for source in sources}
    if len(limits) != 1:
        raise KnowledgeError(
            f"The rollouts have the limits {sorted(limits)} of control steps, expected one; build from like rollouts."
        )
    chosen = list(_diverse(chain.from_iterable(read_trajectories(source) for source in sources), config.size))
    chosen = [replace(each, rollout=number) for number, each in enumerate(chosen)]
    rows = []
    for row in judge_all(iter(chosen), judge, workers):
        rows.append(row)
        progress(len(rows), len(chosen))
    judged = [row for row in rows if row["missing"] is None]
    if not judged:
        raise KnowledgeError(f"None of {len(rows)} attempts could be judged; the first reason: {rows[0]['missing']}")
    proposals = {row["rollout"]: row for row in judged}
    kept = [each for each in chosen if each.rollout in proposals]
    base = [_proposed(number, proposals[each.rollout]) for number, each in enumerate(kept)]
    _write([replace(each, rollout=number) for number, each in enumerate(kept)], base, sources[0], output)
    return {"attempts": len(base), "without a verdict": len(rows) - len(base), "reviewed": 0}


def review_knowledge_base(base: Path, review: Path, output: Path) -> Summary:
    """Apply a person's review, a CSV with the columns trajectory, reviewer, the dimensions and note.

    Only rows with a reviewer count. Rows may be left out; grades may be left empty where the proposal stands.

    Raises:
        RatingsError: when the file cannot be read, names an attempt that is not in the base, or a grade that is none.
    """
    rows = _read_base(base)
    known = {row["trajectory"]: row for row in rows}
    reviewed = changed = 0
    for line, told in enumerate(read_rows(review, ("trajectory", "reviewer", *DIMENSIONS)), 2):
        where = f"{review.name}, line {line}"
        reviewer = (told["reviewer"] or "").strip()
        if not reviewer:
            continue
        row = known.get(told["trajectory"])
        if row is None:
            raise RatingsError(f"{where} is about {told['trajectory']!r}, which this base lacks; review its own file.")
        grades = {name: grade_of(told[name], f"{where}, {name}") for name in DIMENSIONS if row[name] is not None}
        given: dict[str, Any] = {name: grade for name, grade in grades.items() if grade is not None}
        reviewed += 1
        changed += any(row[name] != grade for name, grade in given.items())
        row |= {**given, "reviewer": reviewer, "note": (told.get("note") or "").strip() or None}
    if not reviewed:
        raise RatingsError(f"{review.name} names no reviewer, so nothing was reviewed; fill in the column reviewer.")
    _write(list(read_trajectories(base)), rows, base, output)
    total = sum(row["reviewer"] is not None for row in rows)
    return {"attempts": len(rows), "reviewed": total, "reviewed now": reviewed, "changed now": changed}


def read_knowledge_base(folder: Path) -> list[Entry]:
    """The entries of a base. Raises `ArtifactError` when it cannot be read."""
    rows = _read_base(folder)
    return [
        Entry(trajectory, Verdict(thought=row["thought"], **{name: row[name] for name in DIMENSIONS}), row["reviewer"])
        for trajectory, row in zip(read_trajectories(folder), rows, strict=True)
    ]


def read_proposals(folder: Path) -> list[dict[str, Any]]:
    """The rows of `BASE`."""
    return _read_base(folder)


def _diverse(trajectories: Iterator[Trajectory], size: int) -> Iterator[Trajectory]:
    """In turn one of each policy, task and outcome, each group in the order of its digests, until there are enough."""
    groups: dict[tuple[str, str, bool], dict[str, Trajectory]] = {}
    for each in trajectories:
        group = groups.setdefault((each.policy_type, each.task, each.success), {})
        group[trajectory_digest(each)] = each
    ordered = [[group[digest] for digest in sorted(group)] for _, group in sorted(groups.items())]
    in_turn = (each for turn in zip_longest(*ordered) for each in turn if each is not None)
    yield from (each for each, _ in zip(in_turn, range(size), strict=False))


def _proposed(number: int, row: dict[str, Any]) -> dict[str, Any]:
    grades: dict[str, Any] = {name: row[name] for name in DIMENSIONS}
    proposals = {f"proposed_{name}": grade for name, grade in grades.items()}
    named = {name: row[name] for name in ("trajectory", "thought", "judge")}
    return {"rollout": number, **named, **grades, **proposals, "reviewer": None, "note": None}


def _write(trajectories: Sequence[Trajectory], rows: Sequence[dict[str, Any]], source: Path, output: Path) -> None:
    write_trajectories(trajectories, read_protocol(source), output)
    pq.write_table(pa.Table.from_pylist(list(rows), BASE), output / BASE_FILE, compression="zstd")
    with (output / REVIEW_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*REVIEW_COLUMNS, "reviewer", *DIMENSIONS, "note"])
        for each, row in zip(trajectories, rows, strict=True):
            what = [row["trajectory"], each.task, each.seed, each.instruction, each.policy_type, each.success]
            writer.writerow([*what, row["reviewer"], *(row[name] for name in DIMENSIONS), row["note"]])


def _read_base(folder: Path) -> list[dict[str, Any]]:
    try:
        table = pq.read_table(folder / BASE_FILE)
    except (OSError, pa.ArrowInvalid) as error:
        raise ArtifactError(f"{folder.name!r} holds no knowledge base; build one with `dualvla kb build`.") from error
    check_schema(table.schema, BASE, BASE_FILE)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
