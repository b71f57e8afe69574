"""What ``report.json`` holds. Every number is computed from the curated tables.

Ratios lie in [0, 1] and are null where nothing was considered; durations are seconds, lengths are frames.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field, JsonValue

from dualvla_core.params import Params
from dualvla_core.pruning.config import Rule
from dualvla_core.report.results.model import Results

Split: TypeAlias = Literal["train", "held_out"]
Basis: TypeAlias = Literal["frames with reasoning", "all frames"]
StageParameters: TypeAlias = dict[str, tuple[dict[str, JsonValue], ...]]
"""By stage name, every distinct set of parameters it ran with."""


class DatasetFacts(Params):
    """A dataset as it was found, before anything was decoded."""

    name: str = Field(description="The dataset's name, unique within the report.")
    layout: str = Field(description="How it is stored, such as 'LeRobot v3.0'.")
    robot: str = Field(description="The robot type the dataset declares.")
    cameras: tuple[str, ...] = Field((), description="Camera names, in the dataset's order.")
    fps: float | None = Field(None, description="Frames per second (Hz).")
    embodiment: str = Field(description="Name of the embodiment description it was read with.")
    embodiment_description: str = Field("", description="What that description says in words.")
    warnings: tuple[str, ...] = Field((), description="What a reader should know, such as: no description matched.")


class Totals(Params):
    """The whole curation in a few numbers."""

    episodes: int = Field(description="Episodes read and curated (count).")
    skipped: int = Field(description="Episodes left out, each listed with its reason (count).")
    frames: int = Field(description="Frames of all curated episodes (count).")
    seconds: float = Field(description="Their duration (s).")
    reasoning_frames: int = Field(description="Frames that carried reasoning before pruning (count).")
    considered: int = Field(description="Frames the retention ratio is a share of; see `Report.basis` (count).")
    kept: int = Field(description="Considered frames that keep their reasoning, or would (count).")
    ratio: float | None = Field(description="kept / considered.")
    words_before: int = Field(description="Words of reasoning before pruning (count).")
    words_after: int = Field(description="Words of reasoning after pruning (count).")


class Labels(Params):
    """How the two layers of the method meet, counted in considered frames (DualVLA 3.2.1: both labels must be 1)."""

    scene: int = Field(description="Frames whose scene label is 1: near an event boundary (count).")
    action: int = Field(description="Frames whose action label is 1: Eq. 4 (count).")
    both: int = Field(description="Frames with both labels 1: the paper's key-frames (count).")
    kept_otherwise: int = Field(description="Frames kept although a label is 0, by another rule (count).")
    dropped_otherwise: int = Field(description="Frames dropped although both labels are 1, by another rule (count).")


class Retention(Params):
    """How much of one group of episodes kept its reasoning."""

    name: str = Field(description="The group: a dataset, a task or a split.")
    episodes: int = Field(description="Episodes in the group (count).")
    frames: int = Field(description="Frames in the group (count).")
    considered: int = Field(description="Frames the ratio is a share of (count).")
    kept: int = Field(description="Considered frames that were kept (count).")
    ratio: float | None = Field(description="kept / considered.")


class RuleCount(Params):
    """How often one sentence of the decision table decided."""

    rule: str = Field(description="The rule, in words.")
    keep: bool = Field(description="Whether it keeps the frame's reasoning.")
    frames: int = Field(description="Frames it decided (count).")
    share: float = Field(description="Its share of all frames.")


class RetentionByRule(Params):
    """What each pruning rule would keep of a group of episodes, given the same labels."""

    kind: Literal["all", "dataset", "task"] = Field(description="What groups the episodes.")
    name: str = Field(description="The dataset or task; empty for all.")
    ratios: dict[Rule, float] = Field(description="Kept share of the considered frames, per rule.")


class ReasoningText(Params):
    """Reasoning text in numbers."""

    frames: int = Field(description="Frames with reasoning (count).")
    tokens: int = Field(description="Words and punctuation marks (count).")
    texts: int = Field(description="Different texts (count).")
    bits_per_token: float = Field(description="Entropy of the distribution of tokens (bit).")
    bits_per_frame: float = Field(description="Entropy of the distribution of texts (bit).")


class TextChange(Params):
    """The reasoning before pruning and after it."""

    before: ReasoningText = Field(description="All of it.")
    after: ReasoningText = Field(description="That of kept frames.")


class SurprisingEpisode(Params):
    """Why an episode stands out among those of its task."""

    episode: str = Field(description="Digest of the episode.")
    quantity: str = Field(description="In what.")
    value: float = Field(description="Its value.")
    median: float = Field(description="Median of the episodes it is compared with.")
    deviation: float = Field(description="Robust z-score.")


class EpisodeRow(Params):
    """One curated episode."""

    episode: str = Field(description="Digest that identifies the episode by content.")
    dataset: str = Field(description="The dataset it came from.")
    episode_index: int = Field(description="The dataset's own number.")
    task: str = Field(description="Task name.")
    instruction: str = Field(description="Language instruction of its first frame.")
    split: Split = Field(description="Training or held out.")
    seconds: float = Field(description="Duration (s).")
    frames: int = Field(description="Length (frames).")
    reasoning_frames: int = Field(description="Frames that carried reasoning (count).")
    considered: int = Field(description="Frames the ratio is a share of (count).")
    kept: int = Field(description="Considered frames that were kept (count).")
    ratio: float | None = Field(description="kept / considered.")
    boundaries: int = Field(description="Event boundaries picked (count).")
    gripper_flips: int = Field(description="Frames where a gripper opened or closed (count).")
    words_before: int = Field(description="Words of reasoning before pruning (count).")
    words_after: int = Field(description="Words of reasoning after pruning (count).")


class SkippedEpisode(Params):
    """An episode that was left out."""

    dataset: str = Field(description="The dataset it belongs to.")
    episode_index: int = Field(description="The dataset's own number.")
    episode: str | None = Field(description="Its digest; null when it could not even be identified.")
    reason: str = Field(description="The sentence that says why.")


class FilmStripChoice(Params):
    """An episode the page draws in full, and why this one."""

    episode: str = Field(description="Digest of the episode.")
    why: str = Field(description="What it was chosen for.")


class StageNode(Params):
    """One artifact of the lineage: which stage made it, from what."""

    stage: str = Field(description="Stage name.")
    key: str = Field(description="Digest of stage, version, parameters and inputs.")
    digest: str = Field(description="Digest of the artifact's payload.")
    version: int = Field(description="Stage version.")
    inputs: tuple[str, ...] = Field((), description="Keys of the artifacts it was made from.")


class StatisticsRow(Params):
    """Normalisation statistics of one dimension of one signal, in the signal's own unit; null without finite values."""

    embodiment: str = Field(description="Name of the embodiment it holds for.")
    feature: str = Field(description="'action' or 'state'.")
    dimension: int = Field(description="Index into the signal's vector.")
    mean: float | None = Field(description="Mean.")
    std: float | None = Field(description="Standard deviation.")
    minimum: float | None = Field(description="Smallest value.")
    maximum: float | None = Field(description="Largest value.")
    q01: float | None = Field(description="1st percentile.")
    q99: float | None = Field(description="99th percentile.")
    normalised: bool = Field(description="Whether training normalises it; a gripper usually is not.")


class CategoryCount(Params):
    """How many questions of one category the multimodal set holds."""

    category: str = Field(description="Kind of question.")
    train: int = Field(description="Questions for training (count).")
    held_out: int = Field(description="Questions held out (count).")


class MultimodalSummary(Params):
    """The multimodal set in counts."""

    samples: int = Field(description="Questions (count).")
    categories: tuple[CategoryCount, ...] = Field(description="Counts per category.")
    examples: tuple[str, ...] = Field(description="Names of the samples the page shows.")


class Report(Params):
    """The whole of ``report.json``."""

    format: int = Field(3, description="Version of this file's format.")
    title: str = Field(description="Title of the report.")
    datasets: tuple[DatasetFacts, ...] = Field(description="The datasets that were curated.")
    basis: Basis = Field(description="What every retention ratio is a share of; all frames where none had reasoning.")
    totals: Totals = Field(description="The whole curation in a few numbers.")
    labels: Labels = Field(description="Scene and action labels, and how they meet.")
    by_dataset: tuple[Retention, ...] = Field(description="Retention per dataset.")
    by_task: tuple[Retention, ...] = Field(description="Retention per task, highest first.")
    by_split: tuple[Retention, ...] = Field(description="Retention of the training and the held-out episodes.")
    rules: tuple[RuleCount, ...] = Field(description="Frames per rule, most frequent first.")
    rules_compared: tuple[RetentionByRule, ...] = Field(description="What each pruning rule would keep.")
    text: TextChange | None = Field(description="Reasoning before and after pruning; null without any.")
    surprising: tuple[SurprisingEpisode, ...] = Field(description="Episodes that stand out, most surprising first.")
    episodes: tuple[EpisodeRow, ...] = Field(description="Every curated episode, in the dataset's order.")
    skipped: tuple[SkippedEpisode, ...] = Field(description="Every episode that was left out.")
    film_strips: tuple[FilmStripChoice, ...] = Field(description="The episodes the page draws in full.")
    parameters: StageParameters = Field(description="Parameters of every stage.")
    lineage: tuple[StageNode, ...] = Field(description="The artifacts this report rests on.")
    statistics: tuple[StatisticsRow, ...] = Field((), description="Normalisation statistics of the training episodes.")
    multimodal: MultimodalSummary | None = Field(None, description="The multimodal set; null without one.")
    results: Results | None = Field(None, description="What the policies were measured to do; null before training.")
