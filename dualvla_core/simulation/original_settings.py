"""What SimplerEnv's evaluation scripts play, column by column of the paper's table, one setting per episode."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import numpy as np
import yaml
from pydantic import Field, JsonValue

from dualvla_core.errors import ConfigError
from dualvla_core.params import Params

_Part: TypeAlias = dict[str, Any]
"""Some of a setting's fields."""


class Setting(Params):
    """One episode's scene."""

    environment: str = Field(description="Name under which SimplerEnv registers it.")
    scene: str = Field(description="Scene, the background included.")
    overlay: str | None = Field(None, description="Photograph that replaces the background (visual matching).")
    robot_xy: tuple[float, float] = Field(description="Where the robot stands (m).")
    yaw: float = Field(0.0, description="By how much it is turned (rad).")
    build: dict[str, JsonValue] = Field({}, description="Further arguments of the environment.")
    object_xy: tuple[float, float] | None = Field(None, description="Where the thing lies (m); none = by its episode.")
    object_episode: int | None = Field(None, description="One of the environment's numbered arrangements.")

    @property
    def orientation(self) -> tuple[float, float, float, float]:
        """Quaternion w x y z: half a turn about the vertical, which SimplerEnv starts from, then the yaw."""
        return (-float(np.sin(self.yaw / 2)), 0.0, 0.0, float(np.cos(self.yaw / 2)))


class Grid(Params):
    """Places on a rectangle, the second coordinate counting fastest."""

    x: tuple[float, float, int] = Field(description="First, last (m), count.")
    y: tuple[float, float, int] = Field(description="First, last (m), count.")

    @property
    def places(self) -> list[tuple[float, float]]:
        """All of them (m)."""
        along = [np.linspace(low, high, count).tolist() for low, high, count in (self.x, self.y)]
        return list(itertools.product(*along))


class Column(Params):
    """The episodes behind one number of the paper's table."""

    robot: Literal["google_robot_static", "widowx"] = Field(description="Name of the robot.")
    camera: str = Field(description="The camera that is seen through, and whose background is replaced.")
    control_hz: int = Field(description="Control steps per second (Hz).")
    simulation_hz: int = Field(description="Simulation steps per second (Hz).")
    base: dict[str, JsonValue] = Field(description="What all settings share.")
    variants: tuple[tuple[dict[str, JsonValue], ...], ...] = Field((), description="Choices, one from each list.")
    robot_grid: Grid | None = Field(None, description="Places of the robot.")
    object_grid: Grid | None = Field(None, description="Places of the thing.")
    object_episodes: int = Field(0, ge=0, description="Numbered arrangements (count).")

    @functools.cached_property
    def settings(self) -> Sequence[Setting]:
        """One per episode, in the order of the scripts."""
        robots: list[_Part] = [{"robot_xy": place} for place in self.robot_grid.places] if self.robot_grid else [{}]
        things: list[_Part] = [{"object_episode": number} for number in range(self.object_episodes)]
        things += [{"object_xy": place} for place in self.object_grid.places] if self.object_grid else []
        lists: list[Sequence[_Part]] = [*self.variants, robots, things or [{}]]
        choices = itertools.product(*lists)
        return [Setting.model_validate(_merged(self.base, *chosen)) for chosen in choices]


def column_of(task: str) -> Column:
    """The column that a task of the original SimplerEnv is."""
    return _columns()[task]


def check_episodes(tasks: Sequence[str], seeds: range) -> None:
    """Raise `ConfigError` unless every seed is an episode of each task."""
    for task in tasks:
        count = len(column_of(task).settings)
        if seeds.stop > count:
            raise ConfigError(
                f"{task} has {count} episodes, and seeds {seeds.start} to {seeds.stop - 1} were asked for; set "
                f"first_seed = 0 and episodes_per_task = {count} for the whole of it."
            )


@functools.cache
def _columns() -> dict[str, Column]:
    text = (files("dualvla_core.simulation") / "simpler_original.yaml").read_text(encoding="utf-8")
    return {name: Column.model_validate(values) for name, values in yaml.safe_load(text)["columns"].items()}


def _merged(*parts: _Part) -> _Part:
    build = {name: value for part in parts for name, value in part.get("build", {}).items()}
    return {name: value for part in parts for name, value in part.items()} | {"build": build}
