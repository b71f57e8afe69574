"""What the numbers of a robot's state mean: arms, end-effector poses, joints and grippers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Literal, TypeAlias

import yaml
from pydantic import Field, ValidationError, model_validator

from dualvla_core.errors import ConfigError
from dualvla_core.params import Params

RotationFormat: TypeAlias = Literal[
    "none", "euler_xyz", "quaternion_xyzw", "quaternion_wxyz", "axis_angle", "rotation_matrix"
]
LengthUnit: TypeAlias = Literal["m", "cm", "mm"]
AngleUnit: TypeAlias = Literal["rad", "deg"]
Direction: TypeAlias = Literal["forward", "backward", "left", "right", "up", "down"]
_ROTATION_SIZES: dict[RotationFormat, int] = {
    "none": 0,
    "euler_xyz": 3,
    "quaternion_xyzw": 4,
    "quaternion_wxyz": 4,
    "axis_angle": 3,
    "rotation_matrix": 9,
}


class SignalSlice(Params):
    """The numbers ``start:stop`` (half open) of a list column of the dataset."""

    column: str = Field(description="Name of the dataset's column")
    start: int = Field(ge=0, description="First number of the column, counted from 0")
    stop: int = Field(description="One past the last number of the column")

    @model_validator(mode="after")
    def _not_empty(self) -> SignalSlice:
        if self.stop <= self.start:
            raise ValueError(f"the slice {self.start}:{self.stop} of {self.column!r} is empty")
        return self

    @property
    def size(self) -> int:
        """How many numbers the slice holds."""
        return self.stop - self.start


class EePose(Params):
    """Where an end-effector pose lies; without a rotation the canonical roll, pitch and yaw are 0."""

    position: SignalSlice = Field(description="x y z in `position_unit`")
    position_unit: LengthUnit = Field(default="m", description="Unit of the position")
    rotation: SignalSlice | None = Field(default=None, description="Orientation in `rotation_format`")
    rotation_format: RotationFormat = Field(
        default="none", description="How the orientation is written; matrices are row-major"
    )
    angle_unit: AngleUnit = Field(default="rad", description="Unit of the angles of euler_xyz and axis_angle")

    @model_validator(mode="after")
    def _sizes_fit(self) -> EePose:
        if self.position.size != 3:
            raise ValueError(f"a position has 3 numbers, the slice holds {self.position.size}")
        found = self.rotation.size if self.rotation else 0
        expected = _ROTATION_SIZES[self.rotation_format]
        if found != expected:
            raise ValueError(
                f"the rotation format {self.rotation_format!r} has {expected} numbers, the slice holds {found}"
            )
        return self


class Gripper(Params):
    """One gripper channel, mapped linearly to 0 = closed, 1 = open and clipped there."""

    column: str = Field(description="Name of the dataset's column")
    index: int = Field(ge=0, description="Which number of the column, counted from 0")
    closed_value: float = Field(description="The number that means fully closed")
    open_value: float = Field(description="The number that means fully open")

    @model_validator(mode="after")
    def _ends_differ(self) -> Gripper:
        if self.closed_value == self.open_value:
            raise ValueError(f"closed_value and open_value are both {self.open_value:g}")
        return self


class Arm(Params):
    """One arm: whatever of pose, joints and gripper the dataset holds."""

    name: str = Field(description="Name of the arm, for example left")
    ee_pose: EePose | None = Field(default=None, description="End-effector pose")
    joints: SignalSlice | None = Field(
        default=None, description="Joint positions in `joint_unit`, or m where they slide"
    )
    joint_unit: AngleUnit = Field(default="rad", description="Unit of the joint angles")
    gripper: Gripper | None = Field(default=None, description="Gripper channel")


class Embodiment(Params):
    """A robot as its demonstrations describe it; lists per arm follow the order of `arms`."""

    name: str = Field(description="Name people know the embodiment by")
    description: str = Field(description="What the state and the action hold, in words")
    robot_types: tuple[str, ...] = Field(
        description="What it is recognised by: robot_type in LeRobot, the dataset's name in RLDS, the robot in HDF5"
    )
    joined: dict[str, tuple[SignalSlice, ...]] = Field(
        default={}, description="Columns made of parts of the dataset's, one behind the other; usable like any other"
    )
    state_column: str = Field(default="observation.state", description="Column that becomes the canonical state")
    state_size: int | None = Field(default=None, description="Numbers in the state column; none = any")
    action_column: str = Field(default="action", description="Column that becomes the canonical action")
    control_hz: float | None = Field(default=None, description="Control rate of the robot, Hz")
    relative_actions: bool = Field(description="Whether actions are displacements rather than targets")
    axes: tuple[Direction, Direction, Direction] = Field(
        default=("forward", "left", "up"), description="Where x, y and z of the poses point, as the robot sees it"
    )
    arms: tuple[Arm, ...] = Field(min_length=1, description="The arms, in canonical order")

    @model_validator(mode="after")
    def _arm_names_differ(self) -> Embodiment:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError(f"the arms {names} do not have names of their own")
        return self

    @property
    def joints_per_arm(self) -> tuple[int, ...]:
        """Joints of each arm, 0 where none are described."""
        return tuple(arm.joints.size if arm.joints else 0 for arm in self.arms)

    @property
    def grippers(self) -> int:
        """How many gripper channels there are."""
        return sum(arm.gripper is not None for arm in self.arms)

    @property
    def has_ee_pose(self) -> bool:
        """Whether every arm has an end-effector pose."""
        return all(arm.ee_pose is not None for arm in self.arms)

    @property
    def observed(self) -> dict[str, int]:
        """The observation columns it reads, joined ones by their own name, and how many numbers each needs at least."""
        ends = [(self.state_column, self.state_size or 1)]
        for arm in self.arms:
            slices = [arm.joints] if arm.joints else []
            if arm.ee_pose:
                slices += [arm.ee_pose.position] + ([arm.ee_pose.rotation] if arm.ee_pose.rotation else [])
            ends += [(part.column, part.stop) for part in slices]
            if arm.gripper:
                ends.append((arm.gripper.column, arm.gripper.index + 1))
        return _largest(ends)

    @property
    def columns(self) -> dict[str, int]:
        """The dataset's own observation columns it reads and how many numbers each must hold at least."""
        return _largest(end for column, size in self.observed.items() for end in self._sources(column, size))

    @property
    def action_columns(self) -> dict[str, int]:
        """The dataset's own columns the action is made of, and how many numbers each must hold at least."""
        return _largest(self._sources(self.action_column, 1))

    def _sources(self, column: str, size: int) -> list[tuple[str, int]]:
        return [(part.column, part.stop) for part in self.joined[column]] if column in self.joined else [(column, size)]

    def misfit(self, widths: Mapping[str, int]) -> str | None:
        """Why a dataset whose columns hold ``widths`` numbers a frame cannot be read so; None when it can."""
        for column, needed in self.columns.items():
            if column not in widths:
                return f"it has no column {column!r}"
            if widths[column] < needed:
                return f"its column {column!r} holds {widths[column]} numbers, at least {needed} are needed"
        found = {**widths, **{name: sum(part.size for part in parts) for name, parts in self.joined.items()}}
        for column, needed in self.observed.items():
            if found[column] < needed:
                return f"the joined column {column!r} has {found[column]} numbers, at least {needed} are needed"
        size = found[self.state_column]
        if self.state_size is not None and size != self.state_size:
            return f"its column {self.state_column!r} holds {size} numbers, expected {self.state_size}"
        return None


def _largest(ends: Iterable[tuple[str, int]]) -> dict[str, int]:
    needed: dict[str, int] = {}
    for column, end in ends:
        needed[column] = max(end, needed.get(column, 0))
    return needed


def read_embodiment(path: Path) -> Embodiment:
    """The embodiment a YAML file describes. Raises `ConfigError` naming what is wrong with it."""
    try:
        return Embodiment.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise ConfigError(
            f"There is no embodiment file {path}; known names are {sorted(load_embodiments())}."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValidationError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"The embodiment file {path.name} cannot be used: {detail}; correct it.") from error


@cache
def load_embodiments() -> dict[str, Embodiment]:
    """Every embodiment shipped with the package, by name."""
    folder = files("dualvla_core.episodes.embodiments")
    entries = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".yaml")), key=lambda e: e.name)
    found = [Embodiment.model_validate(yaml.safe_load(entry.read_text(encoding="utf-8"))) for entry in entries]
    return {embodiment.name: embodiment for embodiment in found}


def match_embodiment(
    robot_type: str | None, features: Mapping[str, int], override: Path | str | None = None
) -> Embodiment:
    """The embodiment of a dataset, by what it says about itself.

    Args:
        robot_type: the dataset's own word for its robot, compared without regard to case.
        features: numbers per frame of each of the dataset's columns.
        override: a known name or a YAML file that is used instead of a match.

    Returns:
        The known embodiment whose robot type and column sizes fit; otherwise a generic one that reads the whole state
        as joints of one arm, without gripper, and whose description says so.

    Raises:
        ConfigError: when the override is unknown or does not fit, or when there is nothing to read generically.
    """
    if override is not None:
        return _chosen(override, features)
    kind = (robot_type or "").lower()
    for embodiment in load_embodiments().values():
        if kind in {known.lower() for known in embodiment.robot_types} and embodiment.misfit(features) is None:
            return embodiment
    return _generic(robot_type, features)


def _chosen(override: Path | str, features: Mapping[str, int]) -> Embodiment:
    known = load_embodiments()
    if isinstance(override, str) and override in known:
        embodiment = known[override]
    elif isinstance(override, Path) or override.endswith((".yaml", ".yml")):
        embodiment = read_embodiment(Path(override))
    else:
        raise ConfigError(
            f"There is no embodiment {override!r}; give one of {sorted(known)} or the path of a YAML file."
        )
    reason = embodiment.misfit(features)
    if reason:
        raise ConfigError(f"The dataset does not fit the embodiment {embodiment.name!r}: {reason}; choose another one.")
    return embodiment


def _generic(robot_type: str | None, features: Mapping[str, int]) -> Embodiment:
    column = "observation.state"
    size = features.get(column, 0)
    if size < 1:
        raise ConfigError(
            f"No known embodiment fits the robot type {robot_type!r} and there is no column {column!r} to read as "
            f"joints (columns: {sorted(features)}); describe the robot in an embodiment file."
        )
    return Embodiment(
        name="generic_joints",
        description=(
            f"No known embodiment fits the robot type {robot_type!r} with {size} numbers in {column!r}: all are read "
            "as joint positions of one arm, and gripper changes are not seen. Describe the robot in an embodiment file "
            "to change that."
        ),
        robot_types=(),
        state_size=size,
        relative_actions=False,
        arms=(Arm(name="arm", joints=SignalSlice(column=column, start=0, stop=size)),),
    )
