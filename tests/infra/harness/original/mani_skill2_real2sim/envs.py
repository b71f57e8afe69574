"""Scenes without a simulation: the hand is where its actions sum up to, and everything is solved after three steps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

SCENES = (
    "GraspSingleOpenedCokeCanInScene-v0",
    "OpenTopDrawerCustomInScene-v0",
    "PutCarrotOnPlateInScene-v0",
)
SOLVED_AFTER = 3


class Pose:
    """A place without a turn."""

    def __init__(self, p: np.ndarray) -> None:
        self.p, self.q = p, np.array([1.0, 0, 0, 0])

    def inv(self) -> Pose:
        return Pose(-self.p)

    def __mul__(self, other: Pose) -> Pose:
        return Pose(self.p + other.p)


class Scene(gymnasium.Env[Any, Any]):
    """Writes down how it is made, reset and moved, into the file that FAKE_SIMPLER_LOG names."""

    observation_space = gymnasium.spaces.Dict({})
    action_space = gymnasium.spaces.Box(-np.inf, np.inf, (7,))

    def __init__(self, **arguments: Any) -> None:
        self._camera = "overhead_camera" if "google" in arguments["robot"] else "3rd_view_camera"
        self.agent = self
        self.robot = self
        self.pose = Pose(np.array([1.0, 0, 0]))
        self._note("made", arguments)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self._note("reset", options)
        self.tcp, self._steps = Scene.Tip(), 0
        return self._seen(), {}

    class Tip:
        """The point between the fingers."""

        def __init__(self) -> None:
            self.pose = Pose(np.array([1.0, 0, 0]))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._note("moved", action)
        self.tcp.pose = Pose(self.tcp.pose.p + action[:3])
        self._steps += 1
        return self._seen(), 0.0, self._steps >= SOLVED_AFTER, False, {}

    def get_language_instruction(self) -> str:
        return "pick coke can"

    def get_gripper_closedness(self) -> float:
        return 0.25

    def _seen(self) -> dict[str, Any]:
        return {"image": {self._camera: {"rgb": np.full((512, 640, 3), 10, np.uint8)}}}

    def _note(self, what: str, how: object) -> None:
        if "FAKE_SIMPLER_LOG" in os.environ:
            with Path(os.environ["FAKE_SIMPLER_LOG"]).open("a") as log:
                log.write(json.dumps({"what": what, "how": how}, default=lambda array: array.tolist()) + "\n")


for _scene in SCENES:
    gymnasium.register(_scene, entry_point="mani_skill2_real2sim.envs:Scene", disable_env_checker=True)
