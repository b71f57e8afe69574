"""Reads the curated tables of every segment and counts: per episode, per group, per rule, per label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dualvla_core import schemas
from dualvla_core.errors import ArtifactError
from dualvla_core.report.context import CuratedSegment, ReportContext
from dualvla_core.report.model import Basis, EpisodeRow, Labels, Retention, RuleCount, SkippedEpisode, Totals


@dataclass(frozen=True)
class Location:
    """Where a decoded episode lies: record batch ``position`` of segment number ``segment``."""

    segment: int
    position: int
    fps: float
    instruction: str


@dataclass(frozen=True)
class Curation:
    """The reported episodes of all segments: their places, their decision rows, and those left out."""

    locations: dict[str, Location]
    decisions: pl.DataFrame
    skipped: tuple[SkippedEpisode, ...]

    @property
    def basis(self) -> Basis:
        """What a retention ratio is a share of; without any reasoning, the share of key-frames is all there is."""
        return "frames with reasoning" if self.decisions["has_reasoning"].any() else "all frames"

    @property
    def considered(self) -> pl.Expr:
        """Marks the frames of `basis`."""
        return pl.col("has_reasoning") if self.basis == "frames with reasoning" else pl.lit(True)


def read_table(path: Path, expected: pa.Schema, episode: str | None = None) -> pa.Table:
    """A Parquet table of a checked schema, or only the rows of one episode; raises `ArtifactError` if it differs."""
    if not path.is_file():
        raise ArtifactError(f"{path.name} is missing from {path.parent.name!r}; expected columns {expected.names}.")
    table = pq.read_table(path, filters=[("episode", "=", episode)] if episode is not None else None)
    schemas.check_schema(table.schema, expected, path.name)
    return table


def read_curation(sources: Sequence[CuratedSegment], context: ReportContext) -> Curation:
    """The tables of ``sources``, restricted to the episodes of ``context``.

    Raises:
        ArtifactError: if an episode of the context was neither decoded nor skipped, or a table has another schema.
    """
    wanted = {entry.episode for entry in context.episodes}
    locations: dict[str, Location] = {}
    reasons: dict[str, str] = {}
    for number, source in enumerate(sources):
        for position, row in enumerate(_rows(source.segment / "episodes.parquet", schemas.EPISODES)):
            if row["episode"] in wanted:
                place = Location(number, position, row["fps"], row["instruction"])
                locations.setdefault(row["episode"], place)
        for row in _rows(source.segment / "skipped.parquet", schemas.SKIPPED):
            reasons.setdefault(row["episode"], row["reason"])
    skipped = list(context.skipped)
    for entry in context.episodes:
        if entry.episode in locations:
            continue
        if entry.episode not in reasons:
            raise ArtifactError(
                f"Episode {entry.episode_index} of {entry.dataset!r} is in no curated segment and in no list of "
                "skipped episodes; decode and curate it before reporting on it."
            )
        skipped.append(
            SkippedEpisode(
                dataset=entry.dataset,
                episode_index=entry.episode_index,
                episode=entry.episode,
                reason=reasons[entry.episode],
            )
        )
    unique = sorted(set(skipped), key=lambda entry: (entry.dataset, entry.episode_index, entry.reason))
    return Curation(locations, _decisions(sources, locations), tuple(unique))


def episode_rows(curation: Curation, context: ReportContext) -> tuple[EpisodeRow, ...]:
    """One row per curated episode, in the order of dataset and number."""
    considered = curation.considered
    counted = curation.decisions.group_by("episode").agg(
        frames=pl.len(),
        reasoning_frames=pl.col("has_reasoning").sum(),
        considered=considered.sum() if curation.basis == "frames with reasoning" else pl.len(),
        kept=(pl.col("keep") & considered).sum(),
        boundaries=(pl.col("boundary_distance") == 0).sum(),
        gripper_flips=pl.col("gripper_flip").sum(),
        words_before=pl.col("reasoning_words").sum(),
        words_after=pl.col("reasoning_words").filter(pl.col("keep")).sum(),
    )
    counts = {row["episode"]: row for row in counted.iter_rows(named=True)}
    rows: dict[str, EpisodeRow] = {}
    for entry in context.episodes:
        if entry.episode not in curation.locations or entry.episode in rows:
            continue
        place, count = curation.locations[entry.episode], counts[entry.episode]
        rows[entry.episode] = EpisodeRow(
            **entry.model_dump(),
            **{name: value for name, value in count.items() if name != "episode"},
            instruction=place.instruction,
            seconds=count["frames"] / place.fps,
            ratio=_ratio(count["kept"], count["considered"]),
        )
    return tuple(sorted(rows.values(), key=lambda row: (row.dataset, row.episode_index)))


def totals(rows: Sequence[EpisodeRow], skipped: int) -> Totals:
    """Sums over every curated episode."""
    considered, kept = sum(row.considered for row in rows), sum(row.kept for row in rows)
    return Totals(
        episodes=len(rows),
        skipped=skipped,
        frames=sum(row.frames for row in rows),
        seconds=sum(row.seconds for row in rows),
        reasoning_frames=sum(row.reasoning_frames for row in rows),
        considered=considered,
        kept=kept,
        ratio=_ratio(kept, considered),
        words_before=sum(row.words_before for row in rows),
        words_after=sum(row.words_after for row in rows),
    )


def retention_by(rows: Sequence[EpisodeRow], name: Callable[[EpisodeRow], str]) -> tuple[Retention, ...]:
    """Retention per group of episodes, highest ratio first; groups with nothing considered come last."""
    groups: dict[str, list[EpisodeRow]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    found = []
    for group, members in groups.items():
        total = totals(members, skipped=0)
        counts = {"frames": total.frames, "considered": total.considered, "kept": total.kept}
        found.append(Retention(name=group, episodes=len(members), ratio=total.ratio, **counts))
    return tuple(sorted(found, key=lambda entry: (1.0 if entry.ratio is None else -entry.ratio, entry.name)))


def labels(curation: Curation) -> Labels:
    """How often each label is 1 on the considered frames, and where `keep` is not their conjunction."""
    both = pl.col("scene_label") & pl.col("action_label")
    counts = curation.decisions.filter(curation.considered).select(
        scene=pl.col("scene_label").sum(),
        action=pl.col("action_label").sum(),
        both=both.sum(),
        kept_otherwise=(pl.col("keep") & ~both).sum(),
        dropped_otherwise=(~pl.col("keep") & both).sum(),
    )
    return Labels(**counts.row(0, named=True))


def rules(curation: Curation) -> tuple[RuleCount, ...]:
    """Frames decided by each sentence of the decision table, most frequent first."""
    counted = curation.decisions.group_by("rule", "keep").agg(frames=pl.len())
    ordered = counted.sort("frames", "rule", "keep", descending=[True, False, True])
    return tuple(
        RuleCount(**row, share=row["frames"] / curation.decisions.height) for row in ordered.iter_rows(named=True)
    )


def _ratio(kept: int, considered: int) -> float | None:
    return kept / considered if considered else None


def _rows(path: Path, expected: pa.Schema) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(path, expected).to_pylist()
    return rows


def _decisions(sources: Sequence[CuratedSegment], locations: dict[str, Location]) -> pl.DataFrame:
    """Decision rows of the located episodes, each taken from the segment it was located in."""
    tables = [schemas.DECISIONS.empty_table()]
    for number, source in enumerate(sources):
        here = pa.array([name for name, place in locations.items() if place.segment == number], pa.string())
        table = read_table(source.decisions / "decisions.parquet", schemas.DECISIONS)
        tables.append(table.filter(pc.is_in(table["episode"], here)).select(schemas.DECISIONS.names))
    return pl.DataFrame(pa.concat_tables([table.replace_schema_metadata(None) for table in tables]))
