"""What an experiment can be told."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from dualvla_core.params import Params
from dualvla_core.simulation.scenes import TaskName

ExperimentName: TypeAlias = Literal["degeneration", "pruning", "teachers"]


class ExperimentConfig(Params):
    """How often an experiment's variants are trained, and what is particular to one of them."""

    seeds: int = Field(default=3, ge=1, description="Training seeds 0, 1, ... of every variant")
    raw_fractions: tuple[float, ...] = Field(
        default=(0.25, 0.5, 1.0, 2.0),
        min_length=1,
        description="degeneration: lengths of fine-tuning on raw mixed data, as shares of the generalist's steps",
    )
    unseen_tasks: tuple[TaskName, ...] = Field(
        default=(), description="teachers: tasks that are in no demonstration, played as well"
    )
