"""The whole configuration of a pipeline, composed of each package's own, and how its layers are merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.episodes.config import AnnotateConfig, DecodeConfig
from dualvla_core.errors import ConfigError
from dualvla_core.evaluation.benchmarks.config import BenchmarkConfig, QuestionSetConfig, TextJudgeConfig
from dualvla_core.evaluation.config import OpenLoopConfig, RolloutConfig
from dualvla_core.events.config import EventsConfig, EventsTrainingConfig
from dualvla_core.experiments.config import ExperimentConfig
from dualvla_core.exports.config import ExportConfig
from dualvla_core.kinematics.config import KinematicsConfig
from dualvla_core.models.config import ModelConfig
from dualvla_core.params import Params
from dualvla_core.pruning.config import PruningConfig
from dualvla_core.report.config import ReportParams
from dualvla_core.shards.config import MultimodalConfig, ShardsConfig, StatisticsConfig
from dualvla_core.simulation.config import RecordConfig
from dualvla_core.training.config import TrainingConfig, TrainingExecution
from dualvla_core.vla_score.config import ScoreConfig


class DatasetConfig(Params):
    """Which demonstrations are curated."""

    path: str | None = Field(
        default=None,
        description="Folder of a dataset (LeRobot v2 or v3, RLDS, HDF5) or owner/name on the hub; none = record some",
    )
    annotations: tuple[str, ...] = Field(
        default=(), description="JSON files of embodied reasoning about it, in the style of VLA-IT or ECoT"
    )
    multimodal: str | None = Field(
        default=None,
        description="Visual questions to train on with it: a LLaVA-style JSON of conversations, or a benchmark's TSV",
    )
    multimodal_images: str | None = Field(
        default=None, description="Folder or tar of the JSON's images; none = the folder 'images' beside it"
    )
    embodiment: str | None = Field(
        default=None, description="Name of a shipped embodiment or path of a YAML; none = by the dataset's robot type"
    )
    held_out_fraction: float = Field(
        default=0.2, ge=0, lt=1, description="Share of initial conditions held out from training, by stable hash"
    )


class LearningConfig(Params):
    """The three trainings: action teacher, reasoning teacher, student; and the control they are measured beside."""

    model: ModelConfig = Field(default=ModelConfig(), description="What the policies are made of")
    specialist: TrainingConfig = Field(
        default=TrainingConfig(steps=900, flow_draws=2),
        description="The action teacher, trained from nothing on actions alone",
    )
    generalist: TrainingConfig = Field(
        default=TrainingConfig(steps=400, multimodal_every=7, freeze_action_head=True),
        description="The specialist, taught to reason and to answer: the student's start and reasoning teacher",
    )
    student: TrainingConfig = Field(
        default=TrainingConfig(steps=400, multimodal_every=7, freeze_action_head=True),
        description="The DualVLA student, on pruned reasoning",
    )
    distillation: DistillationConfig = Field(default=DistillationConfig(), description="The teachers' part of its loss")
    blind_control: bool = Field(
        default=False,
        description="Train the specialist once more with black images: what a policy reaches without looking",
    )


class EvaluationConfig(Params):
    """How policies are measured."""

    rollouts: RolloutConfig = Field(default=RolloutConfig(), description="Closed loop in simulation")
    open_loop: OpenLoopConfig = Field(default=OpenLoopConfig(), description="Action error on held-out demonstrations")
    questions: QuestionSetConfig = Field(default=QuestionSetConfig(), description="This project's visual questions")
    benchmarks: tuple[BenchmarkConfig, ...] = Field(
        default=(), description="Multimodal benchmarks; for those of the catalogue name and path are enough"
    )
    judge: TextJudgeConfig | None = Field(default=None, description="Who grades free answers (MM-Vet)")
    score: ScoreConfig = Field(default=ScoreConfig(), description="The VLA Score")


class ExecutionConfig(Params):
    """How the work is cut and run; changes no episode and enters no key."""

    runner: Literal["thread", "process", "dask"] = Field(
        default="thread", description="What executes pieces of work: threads, processes, or a Dask cluster"
    )
    workers: int = Field(default=2, ge=1, description="Pieces of work that run at once")
    dask_scheduler: str | None = Field(
        default=None,
        description="Dask scheduler, such as tcp://host:8786; none = a cluster of this machine",
    )
    record_batch_episodes: int = Field(default=10, ge=1, description="Demonstrations recorded in one piece of work")
    segment_episodes: int = Field(
        default=50,
        ge=1,
        description="Episodes decoded into one segment; more beyond 64 of them",
    )
    episode_timeout_s: float = Field(default=600, gt=0, description="Longest time to decode one episode, s")
    training: TrainingExecution = Field(default=TrainingExecution(), description="Processes and devices of a training")
    answer_batch: int = Field(default=16, ge=1, description="Visual questions a policy is asked at once")
    rollout_processes: int = Field(default=2, ge=1, description="Simulators that play one policy at once")
    rollout_batch: int = Field(
        default=1,
        ge=1,
        description="Most of them that one pass of the policy decides for; beyond 1 the policy is in memory once for "
        "all of them, and decisions equal those made one by one up to rounding",
    )


class PipelineConfig(Params):
    """Every parameter of the pipeline, by stage."""

    name: str = Field(default="pipeline", description="Name of the run, as the Prefect UI shows it")
    dataset: DatasetConfig = Field(default=DatasetConfig(), description="Which demonstrations are curated")
    record: RecordConfig = Field(default=RecordConfig(), description="Recording of simulated demonstrations")
    decode: DecodeConfig = Field(default=DecodeConfig(), description="Decoding of episodes")
    annotate: AnnotateConfig = Field(default=AnnotateConfig(), description="Reasoning added to demonstrations")
    events: EventsConfig = Field(default=EventsConfig(), description="Event-boundary detection")
    events_training: EventsTrainingConfig = Field(
        default=EventsTrainingConfig(), description="Training and calibration of event detectors"
    )
    kinematics: KinematicsConfig = Field(default=KinematicsConfig(), description="Velocity, acceleration, gripper")
    pruning: PruningConfig = Field(default=PruningConfig(), description="Which frames keep their reasoning")
    shards: ShardsConfig = Field(default=ShardsConfig(), description="Robot training shards")
    multimodal: MultimodalConfig = Field(default=MultimodalConfig(), description="The multimodal shard")
    statistics: StatisticsConfig = Field(default=StatisticsConfig(), description="Normalisation statistics")
    report: ReportParams = Field(default=ReportParams(), description="The report")
    export: ExportConfig = Field(default=ExportConfig(), description="The pruned dataset for other trainers")
    learning: LearningConfig = Field(default=LearningConfig(), description="The three trainings")
    evaluation: EvaluationConfig = Field(default=EvaluationConfig(), description="How policies are measured")
    experiment: ExperimentConfig = Field(default=ExperimentConfig(), description="Seeds and variants of experiments")
    execution: ExecutionConfig = Field(default=ExecutionConfig(), description="How the work is cut and run")


@dataclass(frozen=True)
class Layer:
    """A named source of configuration values, nested as `PipelineConfig` is."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class ResolvedConfig:
    """A configuration with the origin of each value, by dotted name."""

    config: PipelineConfig
    origins: Mapping[str, str]


def parse_override(text: str) -> Layer:
    """An override such as ``pruning.rule=action_only``; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ConfigError(f"The override {text!r} was given; expected NAME=VALUE, such as pruning.rule=action_only.")
    nested: Any = yaml.safe_load(value)
    for part in reversed(name.strip().split(".")):
        nested = {part: nested}
    return Layer(f"--set {text}", nested)


def resolve_config(layers: Sequence[Layer]) -> ResolvedConfig:
    """Merge layers over the defaults, later ones winning; `ConfigError` names the value that does not fit."""
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers:
        _merge(merged, layer.values, layer.name, origins, "")
    try:
        config = PipelineConfig.model_validate(merged)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigError(
            f"The configuration value {name} = {first['input']!r} ({origins.get(name, 'configuration')}) does not "
            f"fit: {first['msg']}; `dualvla config show` lists every name, value and unit."
        ) from error
    return ResolvedConfig(config, origins)


def _merge(into: dict[str, Any], values: Mapping[str, Any], layer: str, origins: dict[str, str], prefix: str) -> None:
    for name, value in values.items():
        if isinstance(value, Mapping):
            branch = into.get(name)
            into[name] = dict(branch) if isinstance(branch, Mapping) else {}
            _merge(into[name], value, layer, origins, f"{prefix}{name}.")
        else:
            into[name] = value
            origins[prefix + name] = layer
