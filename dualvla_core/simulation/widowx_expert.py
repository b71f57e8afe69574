"""A scripted expert for SimplerEnv's WidowX scenes: closed-loop waypoints through the environment's own actions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dualvla_core.errors import ConfigError
from dualvla_core.simulation.environment import Action, Vector
from dualvla_core.simulation.scenes import scene_of
from dualvla_core.simulation.simpler_env import SimplerEnvironment

PHASES = ("approach", "descend", "grasp", "lift", "carry", "place", "release", "retreat")

_STRIDE = 0.05  # m the hand is asked to move in one step at most
_NEAR = 0.006  # m at which an open hand has arrived
_TURN_STEPS = 6
_SLIPPED = 0.05  # m from the hand; beyond, the thing is no longer held
_OPEN, _CLOSED = 1.0, -1.0


@dataclass(frozen=True)
class Grip:
    """Where a task's thing is held and let go, as heights over thing and destination (m).

    The fingers stand on the table at 16 mm. A goal below that must stay within reach of what the table gives way: the
    controller adds up what it is asked for, and a hand that keeps pushing throws the thing.
    """

    grasp: float
    place: float


GRIPS: Mapping[str, Grip] = {
    "widowx_carrot_on_plate": Grip(grasp=0.0, place=0.05),
    "widowx_stack_cube": Grip(grasp=0.0, place=0.035),
    "widowx_spoon_on_towel": Grip(grasp=0.003, place=0.04),
}


@dataclass(frozen=True)
class _Leg:
    """One waypoint: an offset from where thing or destination is when the leg begins, and how long it is pursued."""

    phase: str
    over: Literal["thing", "destination"]
    height: float
    gripper: float
    steps: int
    turn: float = 0.0
    """Rotation about the vertical, spread evenly over the steps (rad)."""

    def arrived(self, distance: float, done: int) -> bool:
        if done >= self.steps:
            return True
        return self.gripper == _OPEN and not self.turn and done >= 2 and distance < _NEAR


def _legs(grip: Grip, yaw: float) -> Iterator[_Leg]:
    over = grip.grasp + 0.07
    if abs(yaw) > 0.05:
        yield _Leg("approach", "thing", over, _OPEN, _TURN_STEPS, yaw)
    yield _Leg("approach", "thing", over, _OPEN, 4 if abs(yaw) > 0.05 else 9)
    yield _Leg("descend", "thing", grip.grasp, _OPEN, 8)
    yield _Leg("grasp", "thing", grip.grasp, _CLOSED, 4)
    yield _Leg("lift", "thing", grip.grasp + 0.08, _CLOSED, 6)
    yield _Leg("carry", "destination", grip.place + 0.07, _CLOSED, 9)
    yield _Leg("place", "destination", grip.place, _CLOSED, 6)
    yield _Leg("release", "destination", grip.place, _OPEN, 3)
    yield _Leg("retreat", "destination", grip.place + 0.08, _OPEN, 5)


class WidowXExpert:
    """Picks the thing up and puts it on its destination; implements `Expert`. Stays where it is when it is done.

    Raises `ConfigError` for the eggplant, for which there is no script.
    """

    def __init__(self, task: str, environment: SimplerEnvironment) -> None:
        if task not in GRIPS:
            raise ConfigError(f"No scripted expert demonstrates {task!r}; choose from {list(GRIPS)}.")
        self._grip = GRIPS[task]
        self._environment = environment
        self._thing, self._destination = (thing.name for thing in scene_of(task).things)
        self.phase: str | None = None

    def begin(self) -> None:
        """See `Expert.begin`."""
        objects = self._environment.objects
        self._places: dict[str, Vector] = {"thing": objects[self._thing]}
        self._ahead = list(_legs(self._grip, self._environment.yaw))
        self._done = 0
        self.phase = PHASES[0]

    @property
    def finished(self) -> bool:
        """See `Expert.finished`: the thing has been let go and the hand has left."""
        return len(self._ahead) == 1 and self._done >= self._ahead[0].steps

    def act(self) -> Action:
        """See `Expert.act`."""
        objects = self._environment.objects
        while len(self._ahead) > 1 and self._ahead[0].arrived(self._distance(objects["gripper"]), self._done):
            self._ahead.pop(0)
            self._done = 0
        leg = self._ahead[0]
        if leg.over == "destination" and "destination" not in self._places:
            held = (objects[self._thing] - objects["gripper"]) * [1, 1, 0]
            if np.linalg.norm(held) > _SLIPPED:
                held[:] = 0
            self._places["destination"] = objects[self._destination] - held  # the thing goes there, not the hand
        self.phase = leg.phase
        right, forward, up = self._goal(leg) - objects["gripper"]
        step = np.array([forward, -right, up])
        length = float(np.linalg.norm(step))
        step *= min(1.0, _STRIDE / length) if length else 1.0
        turn = leg.turn / leg.steps if leg.turn and self._done < leg.steps else 0.0
        self._done += 1
        return np.array([*step, 0, 0, turn, leg.gripper], np.float32)

    def _goal(self, leg: _Leg) -> Vector:
        place: Vector = self._places[leg.over] + np.array([0, 0, leg.height])
        return place

    def _distance(self, hand: Vector) -> float:
        leg = self._ahead[0]
        return float(np.linalg.norm(self._goal(leg) - hand)) if leg.over in self._places else math.inf
