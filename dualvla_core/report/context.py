"""What the report is told, because no curated table holds it: splits, tasks, lineage, parameters, skipped episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, JsonValue, model_validator

from dualvla_core.params import Params
from dualvla_core.report.config import ReportParams
from dualvla_core.report.model import DatasetFacts, SkippedEpisode, Split, StageNode


@dataclass(frozen=True)
class CuratedSegment:
    """The four folders that hold one segment and what was computed from it."""

    segment: Path
    boundaries: Path
    kinematics: Path
    decisions: Path


class EpisodeContext(Params):
    """What the dataset says about one episode beyond its frames."""

    episode: str = Field(description="Digest that identifies the episode by content.")
    dataset: str = Field(description="Name of its dataset, one of `ReportContext.datasets`.")
    episode_index: int = Field(description="The dataset's own number.")
    task: str = Field(description="Task name.")
    split: Split = Field(description="Training or held out.")


class ReportContext(Params):
    """Everything the report needs beside the curated tables. Paths are read, never written down."""

    title: str = Field(description="Title of the report.")
    datasets: tuple[DatasetFacts, ...] = Field(description="The datasets, as the scan found them.")
    episodes: tuple[EpisodeContext, ...] = Field(description="The episodes to report on; others in a segment are not.")
    skipped: tuple[SkippedEpisode, ...] = Field((), description="Episodes left out before decoding.")
    parameters: dict[str, dict[str, JsonValue]] = Field({}, description="Parameters of every stage, by stage name.")
    lineage: tuple[StageNode, ...] = Field((), description="The artifacts the curation is made of.")
    statistics: Path | None = Field(None, description="Folder with the normalisation statistics.")
    multimodal: Path | None = Field(None, description="Folder with the multimodal set.")
    phases: dict[str, Path] = Field({}, description="Per dataset, a Parquet table of recorded phase changes.")
    report: ReportParams = Field(default_factory=ReportParams, description="Sizes of the samples shown.")

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        """An episode of an undeclared dataset would vanish from the tables per dataset."""
        names = {facts.name for facts in self.datasets}
        used = {entry.dataset for entry in self.episodes} | {entry.dataset for entry in self.skipped} | set(self.phases)
        if used - names:
            raise ValueError(f"the datasets {sorted(used - names)} are used, only {sorted(names)} are described")
        return self
