"""The simulators, and what recording, rollouts and narration have to know of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import cast

from dualvla_core.errors import DependencyError
from dualvla_core.simulation import metaworld, simpler_env
from dualvla_core.simulation.environment import THIRD_PERSON, WRIST, Action, Environment, Expert
from dualvla_core.simulation.scenes import EVALUATION_IDS, SuiteName, suite_name
from dualvla_core.simulation.simpler_assets import has_stand_ins
from dualvla_core.simulation.simpler_original import OriginalEnvironment
from dualvla_core.simulation.widowx_expert import WidowXExpert


@dataclass(frozen=True)
class Suite:
    """One simulator."""

    name: SuiteName
    packages: tuple[str, ...]
    """Distributions whose versions name the simulator."""
    robot_type: str
    control_hz: int
    cameras: tuple[str, ...]
    state: tuple[str, ...]
    """Names of the state's numbers."""
    action: tuple[str, ...]
    limits: tuple[float, ...]
    """Largest magnitude of each of the action's numbers."""
    expert: Mapping[str, int]
    """What tells two editions of its scripted experts apart in a key; nothing for those of a package."""
    official_seeds: range
    """Seeds that name the benchmark's own episodes; they get its own instruction, the first of a task's."""
    depths: tuple[float, float]
    """Distances from the base below which a thing is near and beyond which it is far (m)."""
    motion_window: int
    """Frames ahead that a motion text sums up."""
    shortest_motion: int
    """A motion text that would last less is not spoken (frames)."""
    stays_solved: bool
    """A demonstration counts only if its task is still solved at its end."""
    in_robot_axes: Callable[[Action], Action]
    """States ``[T, S]`` to rows that begin with right, forward, up (m) and end with the gripper's opening."""
    make: Callable[[str, int, int], Environment]
    """An environment from task, image size and wrist image size (px)."""
    hire: Callable[[str, Environment], Expert]
    """The scripted expert of a task in its environment."""

    @property
    def versions(self) -> str:
        """The simulator as protocols name it. Raises `DependencyError` when it is not installed."""
        try:
            return ", ".join(f"{name} {version(name)}" for name in self.packages)
        except PackageNotFoundError as error:
            raise DependencyError(f"{error}; install the extra of {self.name}, see docs/simulation.md.") from error

    def has_stand_ins(self, tasks: Iterable[str]) -> bool:
        """Whether something in these tasks' scenes replaces what the original benchmark has there."""
        return self.name == "simpler_env" and has_stand_ins(tasks)

    def assets(self, tasks: Iterable[str]) -> dict[str, bool]:
        """What tells two sets of assets apart in a key; nothing where there is only one."""
        return {"stand_in_assets": has_stand_ins(tasks)} if self.name == "simpler_env" else {}


METAWORLD = Suite(
    name="metaworld",
    packages=("metaworld", "mujoco"),
    robot_type="metaworld_sawyer",
    control_hz=metaworld.CONTROL_HZ,
    cameras=(THIRD_PERSON, WRIST),
    state=("x", "y", "z", "roll", "pitch", "yaw", "gripper"),
    action=("dx", "dy", "dz", "gripper_effort"),
    limits=(1.0, 1.0, 1.0, 1.0),
    expert={},
    official_seeds=range(0),
    depths=(0.8, 0.87),
    motion_window=8,
    shortest_motion=5,
    stays_solved=False,
    in_robot_axes=lambda states: states,
    make=metaworld.MetaWorldEnvironment,
    hire=lambda task, environment: metaworld.AttendingExpert(task, cast("metaworld.MetaWorldEnvironment", environment)),
)

SIMPLER_ENV = Suite(
    name="simpler_env",
    packages=("mani_skill", "sapien"),
    robot_type="simpler_env_widowx",
    control_hz=simpler_env.CONTROL_HZ,
    cameras=(THIRD_PERSON,),
    state=("x", "y", "z", "qw", "qx", "qy", "qz", "gripper"),
    action=("dx", "dy", "dz", "rx", "ry", "rz", "gripper"),
    limits=simpler_env.ACTION_LIMIT,
    expert={"expert": 2},
    official_seeds=range(EVALUATION_IDS),
    depths=(0.27, 0.35),
    motion_window=2,
    shortest_motion=2,
    stays_solved=True,
    in_robot_axes=simpler_env.in_robot_axes,
    make=lambda task, size, _: simpler_env.SimplerEnvironment(task, size),
    hire=lambda task, environment: WidowXExpert(task, cast("simpler_env.SimplerEnvironment", environment)),
)

SIMPLER_ORIGINAL = replace(
    SIMPLER_ENV,
    name="simpler_original",
    packages=("mani_skill2_real2sim", "sapien"),
    robot_type="simpler_env_google_robot",
    make=lambda task, size, _: OriginalEnvironment(task, size),
)

SUITES: Mapping[SuiteName, Suite] = {suite.name: suite for suite in (METAWORLD, SIMPLER_ENV, SIMPLER_ORIGINAL)}


def suite_of(task: str) -> Suite:
    """The simulator of a task. Raises `ConfigError` for a task that is not known."""
    return SUITES[suite_name([task])]
