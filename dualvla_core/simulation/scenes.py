"""The six recorded tasks: what stands in each scene, what it looks like, and what is to be done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from dualvla_core.errors import ConfigError

TaskName: TypeAlias = Literal[
    "reach", "drawer-open", "door-open", "button-press-topdown", "drawer-close", "window-open"
]


@dataclass(frozen=True)
class Thing:
    """A visible thing and its colour."""

    name: str
    colour: str

    @property
    def phrase(self) -> str:
        """Colour and name, such as ``white handle``."""
        return f"{self.colour} {self.name}"


@dataclass(frozen=True)
class Scene:
    """What a task's scene holds besides the robot."""

    task: TaskName
    activity: str
    """What the robot is doing, such as ``opening the drawer``."""
    target: Thing
    """What the hand goes to; its displacement tells how far the task is."""
    other: Thing
    """What stands beside or behind it."""
    subject: str
    """Name of the one of the two that the task is about."""
    states: tuple[str, str] | None = None
    """State of the subject before and after success, such as ``("closed", "open")``."""

    @property
    def things(self) -> tuple[Thing, Thing]:
        """All visible things."""
        return self.target, self.other


_WHITE_HANDLE, _GREY_HANDLE, _DRAWER = Thing("handle", "white"), Thing("handle", "grey"), Thing("drawer", "green")
_SCENES = (
    Scene("reach", "reaching for the ball", Thing("ball", "red"), Thing("puck", "dark red"), "ball"),
    Scene("drawer-open", "opening the drawer", _WHITE_HANDLE, _DRAWER, "drawer", ("closed", "open")),
    Scene("door-open", "opening the door", _GREY_HANDLE, Thing("door", "dark grey"), "door", ("closed", "open")),
    Scene(
        "button-press-topdown",
        "pressing the button",
        Thing("button", "red"),
        Thing("box", "yellow and black"),
        "button",
        ("up", "pressed down"),
    ),
    Scene("drawer-close", "closing the drawer", _WHITE_HANDLE, _DRAWER, "drawer", ("open", "closed")),
    Scene("window-open", "opening the window", _WHITE_HANDLE, Thing("window", "brown"), "window", ("closed", "open")),
)
SCENES: dict[str, Scene] = {scene.task: scene for scene in _SCENES}


def scene_of(task: str) -> Scene:
    """The scene of a task. Raises `ConfigError` for a task that is not recorded."""
    if task not in SCENES:
        raise ConfigError(f"There is no simulated task {task!r}; choose from {list(get_args(TaskName))}.")
    return SCENES[task]
