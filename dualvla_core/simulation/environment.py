"""What recording and closed-loop evaluation ask of a simulated environment.

World frame of every position here: origin at the robot's base, x to the robot's right, y forward (away from the base),
z up, in metres. "Left", "right", "forward" and "back" in instructions and reasoning are the robot's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

THIRD_PERSON = "third_person"
WRIST = "wrist"

Vector: TypeAlias = npt.NDArray[np.float64]
Image: TypeAlias = npt.NDArray[np.uint8]
Action: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Observation:
    """One moment of an episode: what a policy may see, and beside it the simulator's ground truth."""

    images: Mapping[str, Image]
    """Camera name to ``[H, W, 3]`` RGB, upright and not mirrored."""
    state: npt.NDArray[np.float32]
    """Raw proprioception as the suite records it; its last number is the gripper's opening, 0 closed .. 1 open."""
    objects: Mapping[str, Vector]
    """Ground truth: name of a thing, or ``gripper`` for the point between the finger tips, to ``[3]`` (m)."""
    success: bool
    """Whether the task has been solved at any moment of the episode so far."""


@dataclass(frozen=True)
class Camera:
    """A fixed pinhole camera; axes are unit vectors ``[3]`` in the world frame."""

    position: Vector
    right: Vector
    up: Vector
    forward: Vector
    fovy: float
    """Vertical field of view (rad)."""
    aspect: float = 1.0
    """Width by height of what it sees; images that are kept are squares, squeezed if need be."""

    def project(self, point: Vector) -> Vector:
        """World ``[3]`` (m) to ``[3]``: column and row in image sides from the top left corner, and depth (m)."""
        offset = point - self.position
        depth = offset @ self.forward
        scale = 0.5 / (np.tan(self.fovy / 2) * depth)
        column, row = offset @ self.right / self.aspect, offset @ self.up
        return np.array([0.5 + scale * column, 0.5 - scale * row, depth])


class Environment(Protocol):
    """One task in one simulator; `step` and `reset` do not render, `observe` does."""

    def reset(self, seed: int) -> None:
        """Start the episode whose initial condition ``seed`` names, whatever was simulated before."""

    def step(self, action: Action) -> None:
        """Apply an action of the suite's size for one control period, clipped to the suite's limits."""

    def observe(self) -> Observation:
        """The present moment, rendered."""

    @property
    def state(self) -> npt.NDArray[np.float32]:
        """As in `Observation`, without rendering."""

    @property
    def objects(self) -> Mapping[str, Vector]:
        """As in `Observation`, without rendering."""

    @property
    def success(self) -> bool:
        """Whether the task has been solved at any moment of the episode so far."""

    @property
    def solved(self) -> bool:
        """Whether the task is solved at this moment."""

    @property
    def third_person(self) -> Camera:
        """The third-person camera, as its upright images show the scene."""

    def close(self) -> None:
        """Free the simulator and its renderers; must come before the next environment is made."""


class Expert(Protocol):
    """A scripted solution of a task, acting on the ground truth of the environment it was made for."""

    def begin(self) -> None:
        """An episode has been reset."""

    def act(self) -> Action:
        """The action for the present moment."""

    @property
    def phase(self) -> str | None:
        """What the latest action pursues; none where phases are read off the simulator's state afterwards."""

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for it once the task is solved."""
