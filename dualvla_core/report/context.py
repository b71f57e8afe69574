"""What the report is told, because no curated table holds it: splits, tasks, lineage, parameters, skipped episodes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, JsonValue, model_validator

from dualvla_core.params import Params, Summary
from dualvla_core.report.config import ReportParams
from dualvla_core.report.model import DatasetFacts, SkippedEpisode, Split, StageNode, StageParameters
from dualvla_core.training.config import TrainingConfig


@dataclass(frozen=True)
class CuratedSegment:
    """The folders that hold one segment and what was computed from it; ``reasoning`` where some was added."""

    segment: Path
    boundaries: Path
    kinematics: Path
    decisions: Path
    reasoning: Path | None = None


class EpisodeContext(Params):
    """What the dataset says about one episode beyond its frames."""

    episode: str = Field(description="Digest that identifies the episode by content.")
    dataset: str = Field(description="Name of its dataset, one of `ReportContext.datasets`.")
    episode_index: int = Field(description="The dataset's own number.")
    task: str = Field(description="Task name.")
    split: Split = Field(description="Training or held out.")


class TrainedPolicy(Params):
    """A checkpoint with the measures taken of it; one that was not taken is none."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="Name within the run; also of its model card's file.")
    checkpoint: Path = Field(description="Folder of the checkpoint, with the record of its training.")
    key: str = Field(description="The checkpoint's artifact key.")
    digest: str = Field(description="Digest of the checkpoint's payload.")
    origins: dict[str, str] = Field({}, description="Keys of the checkpoints it was made from, by role.")
    training: Summary = Field(description="What its training says of itself.")
    config: TrainingConfig = Field(description="What its training was told.")
    parameters: dict[str, JsonValue] = Field(description="All parameters of its training, as keyed.")
    pruning: tuple[str, ...] = Field((), description="Pruning rules of the shards it learned from.")
    collection: Path = Field(description="Folder that lists the episodes; it learned from the training split.")
    lineage: tuple[StageNode, ...] = Field(description="The checkpoint and all it was made from, makers first.")
    open_loop: Summary | None = Field(None, description="What the open-loop evaluation says.")
    questions: Path | None = Field(None, description="Folder with the answers to held-out questions.")
    benchmarks: Path | None = Field(None, description="Folder with the table of the multimodal benchmarks.")
    rollouts: Path | None = Field(None, description="Folder with the rollouts.")
    score: Path | None = Field(None, description="Folder with the verdicts on the rollouts.")


class ReportContext(Params):
    """Everything the report needs beside the curated tables. Paths are read, never written down."""

    title: str = Field(description="Title of the report.")
    datasets: tuple[DatasetFacts, ...] = Field(description="The datasets, as the scan found them.")
    episodes: tuple[EpisodeContext, ...] = Field(description="The episodes to report on; others in a segment are not.")
    skipped: tuple[SkippedEpisode, ...] = Field((), description="Episodes left out before decoding.")
    parameters: StageParameters = Field({}, description="Parameters of every stage; several sets where they differ.")
    lineage: tuple[StageNode, ...] = Field((), description="The artifacts the curation is made of.")
    statistics: Path | None = Field(None, description="Folder with the normalisation statistics.")
    multimodal: Path | None = Field(None, description="Folder with the multimodal set.")
    phases: dict[str, Path] = Field({}, description="Per dataset, a Parquet table of recorded phase changes.")
    policies: tuple[TrainedPolicy, ...] = Field((), description="Trained policies, in the order of training.")
    report: ReportParams = Field(default_factory=ReportParams, description="Sizes of the samples shown.")

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        """An episode of an undeclared dataset would vanish from the tables per dataset."""
        names = {facts.name for facts in self.datasets}
        used = {entry.dataset for entry in self.episodes} | {entry.dataset for entry in self.skipped} | set(self.phases)
        if used - names:
            raise ValueError(f"the datasets {sorted(used - names)} are used, only {sorted(names)} are described")
        return self
