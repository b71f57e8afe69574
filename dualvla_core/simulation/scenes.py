"""The recorded tasks: what stands in each scene, what it looks like, and what is to be done with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from dualvla_core.errors import ConfigError
from dualvla_core.simulation.metaworld_tasks import TASKS, TaskEntry

DemoTask: TypeAlias = Literal[
    "reach", "drawer-open", "door-open", "button-press-topdown", "drawer-close", "window-open"
]
"""The tasks of Meta-World that came first; what is recorded of them does not change with tasks that are added."""
# fmt: off
MetaWorldTask: TypeAlias = Literal[
    DemoTask,
    "assembly", "basketball", "bin-picking", "box-close", "button-press", "button-press-topdown-wall",
    "button-press-wall", "coffee-button", "coffee-pull", "coffee-push", "dial-turn", "disassemble", "door-close",
    "door-lock", "door-unlock", "faucet-close", "faucet-open", "hammer", "hand-insert", "handle-press",
    "handle-press-side", "handle-pull", "handle-pull-side", "lever-pull", "peg-insert-side", "peg-unplug-side",
    "pick-out-of-hole", "pick-place", "pick-place-wall", "plate-slide", "plate-slide-back",
    "plate-slide-back-side", "plate-slide-side", "push", "push-back", "push-wall", "reach-wall", "shelf-place",
    "soccer", "stick-pull", "stick-push", "sweep", "sweep-into", "window-close",
]
# fmt: on
WidowXTask: TypeAlias = Literal[
    "widowx_carrot_on_plate", "widowx_stack_cube", "widowx_spoon_on_towel", "widowx_put_eggplant_in_basket"
]
OriginalTask: TypeAlias = Literal[
    "original_pick_can_vm",
    "original_pick_can_va",
    "original_move_near_vm",
    "original_move_near_va",
    "original_drawer_vm",
    "original_drawer_va",
    "original_spoon_on_towel",
    "original_carrot_on_plate",
    "original_stack_cube",
]
"""The columns of the paper's table 2 on the original SimplerEnv, see `original_settings`; nothing is recorded there."""
TaskName: TypeAlias = Literal[MetaWorldTask, WidowXTask, OriginalTask]
SuiteName: TypeAlias = Literal["metaworld", "simpler_env", "simpler_original"]


EVALUATION_IDS = 24
"""Below, a seed of SimplerEnv is the benchmark's own episode id; any other draws poses apart from all of those."""


@dataclass(frozen=True)
class Thing:
    """A visible thing and its colour."""

    name: str
    colour: str

    @property
    def phrase(self) -> str:
        """Colour and name, such as ``white handle``; a name may already begin with the colour."""
        return self.name if self.name.startswith(self.colour) else f"{self.colour} {self.name}"


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
    loose: int = 1
    """Separate things there are besides the robot; two that hang together are one."""
    beside: tuple[Thing, ...] = ()
    """What else can be seen."""

    @property
    def things(self) -> tuple[Thing, ...]:
        """All visible things, the target and the other one first."""
        return self.target, self.other, *self.beside


def _of_metaworld(task: str, entry: TaskEntry) -> Scene:
    target, other, *beside = (Thing(thing.name, thing.colour) for thing in entry.things)
    return Scene(
        cast("MetaWorldTask", task),
        entry.activity,
        target,
        other,
        entry.subject,
        entry.states,
        entry.loose,
        tuple(beside),
    )


SCENES: dict[str, Scene] = {task: _of_metaworld(task, entry) for task, entry in TASKS.items()}
"""Meta-World's."""

_CARROT, _PLATE = Thing("carrot", "orange"), Thing("plate", "pale yellow")
_GREEN, _YELLOW = Thing("green block", "green"), Thing("yellow block", "yellow")
_SPOON, _TOWEL = Thing("spoon", "green"), Thing("towel", "light blue")
_EGGPLANT, _BASKET = Thing("eggplant", "purple"), Thing("basket", "yellow")
_WIDOWX_SCENES = (
    Scene("widowx_carrot_on_plate", "putting the carrot on the plate", _CARROT, _PLATE, "carrot", loose=2),
    Scene("widowx_stack_cube", "stacking the blocks", _GREEN, _YELLOW, "green block", loose=2),
    Scene("widowx_spoon_on_towel", "putting the spoon on the towel", _SPOON, _TOWEL, "spoon", loose=2),
    Scene("widowx_put_eggplant_in_basket", "putting the eggplant away", _EGGPLANT, _BASKET, "eggplant", loose=2),
)
WIDOWX_SCENES: dict[str, Scene] = {scene.task: scene for scene in _WIDOWX_SCENES}
"""SimplerEnv's: the target is picked up and put on the other thing."""


def scene_of(task: str) -> Scene:
    """The scene of a task. Raises `ConfigError` for a task that is not recorded."""
    known = {**SCENES, **WIDOWX_SCENES}
    if task not in known:
        raise ConfigError(f"There is no simulated task {task!r}; choose from {list(get_args(TaskName))}.")
    return known[task]


def suite_name(tasks: Iterable[str]) -> SuiteName:
    """The simulator that ``tasks`` belong to. Raises `ConfigError` for unknown tasks, or those of several."""
    names = {_suite_of(task) for task in tasks}
    if len(names) != 1:
        raise ConfigError(f"The tasks {list(tasks)} belong to several simulators; record and play each by itself.")
    return names.pop()


def _suite_of(task: str) -> SuiteName:
    if task in get_args(OriginalTask):
        return "simpler_original"
    return "simpler_env" if scene_of(task).task in WIDOWX_SCENES else "metaworld"
