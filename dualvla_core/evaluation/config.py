"""What evaluation can be told."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

from pydantic import Field, model_validator

from dualvla_core.errors import ConfigError
from dualvla_core.params import Params
from dualvla_core.simulation.original_settings import check_episodes
from dualvla_core.simulation.scenes import SuiteName, TaskName, suite_name

SuccessMode: TypeAlias = Literal["final", "latched", "early_stop"]


class TrialConfig(Params):
    """The trials a success rate counts."""

    benchmark: SuiteName = Field(default="metaworld", description="Benchmark the trials come from")
    tasks: tuple[TaskName, ...] = Field(
        default=("reach", "drawer-open", "door-open", "button-press-topdown", "drawer-close", "window-open"),
        min_length=1,
        description="Tasks of the benchmark; those of Meta-World without their version suffix",
    )
    first_seed: int = Field(default=50000, ge=0, description="Seed of each task's first episode; the others count up")
    episodes_per_task: int = Field(default=20, ge=1, description="Episodes per task (episodes)")
    max_steps: int = Field(default=200, ge=1, le=499, description="Longest episode (control steps)")
    success_mode: SuccessMode = Field(
        default="early_stop",
        description="When an episode succeeds: solved at its last step (final), or at any (latched), or at any, where "
        "it then ends (early_stop)",
    )
    execute: int = Field(default=6, ge=1, description="Actions carried out per decision of the policy (control steps)")
    image_size: int = Field(default=96, ge=32, le=480, multiple_of=2, description="Side of third-person images (px)")
    wrist_image_size: int = Field(default=96, ge=32, le=480, multiple_of=2, description="Side of wrist images (px)")

    @model_validator(mode="after")
    def _of_one_benchmark(self) -> TrialConfig:
        found = suite_name(self.tasks)
        if found != self.benchmark:
            raise ConfigError(f"benchmark = {self.benchmark} has no task {self.tasks[0]!r}; set benchmark={found}.")
        if found == "simpler_original":
            check_episodes(self.tasks, self.seeds)
        return self

    @property
    def seeds(self) -> range:
        """The seeds played for each task."""
        return range(self.first_seed, self.first_seed + self.episodes_per_task)

    @property
    def episodes(self) -> list[tuple[TaskName, int]]:
        """Every planned episode as ``(task, seed)``, task after task."""
        return [(task, seed) for task in self.tasks for seed in self.seeds]


class RolloutConfig(TrialConfig):
    """The trials, and what is kept of them."""

    judge_frames: int = Field(
        default=12, ge=2, le=16, description="Most images kept per episode, evenly spread, first and last included"
    )
    jpeg_quality: int = Field(default=90, ge=1, le=100, description="JPEG quality of the images kept")


class ProtocolConfig(Params):
    """Trials of different lengths that belong together, such as the columns of a table."""

    trials: tuple[RolloutConfig, ...] = Field(min_length=1, description="Each becomes an artifact of its own")

    def of_tasks(self, tasks: Collection[str]) -> ProtocolConfig:
        """The same with some of the tasks only."""
        narrowed = [
            each.model_copy(update={"tasks": tuple(task for task in each.tasks if task in tasks)})
            for each in self.trials
        ]
        return ProtocolConfig(trials=tuple(each for each in narrowed if each.tasks))


class OpenLoopConfig(Params):
    """How actions are compared with those of held-out demonstrations."""

    chunk: int = Field(default=6, ge=1, description="Actions compared per decision (control steps)")
    stride: int = Field(default=5, ge=1, description="A decision is asked for at every so many frames (frames)")
