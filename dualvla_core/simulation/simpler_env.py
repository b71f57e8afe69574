"""SimplerEnv's WidowX scenes on mani-skill 3 (SAPIEN), rendered by a GPU or in software."""

from __future__ import annotations

import logging
import math
import warnings
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from dualvla_core.errors import DependencyError
from dualvla_core.simulation.environment import THIRD_PERSON, Action, Camera, Image, Observation, Vector
from dualvla_core.simulation.metaworld import choose_renderer
from dualvla_core.simulation.scenes import EVALUATION_IDS, scene_of
from dualvla_core.simulation.simpler_assets import REMEDY, asset_folder, choose_driver, has_stand_ins

CONTROL_HZ = 5
ACTION_LIMIT = (1.0, 1.0, 1.0, math.pi / 2, math.pi / 2, math.pi / 2, 1.0)
"""Of dx dy dz (m), rotation about x y z (rad) and gripper (-1 closed, 1 open)."""

_SCENES = {
    "widowx_carrot_on_plate": "PutCarrotOnPlateInScene-v1",
    "widowx_stack_cube": "StackGreenCubeOnYellowCubeBakedTexInScene-v1",
    "widowx_spoon_on_towel": "PutSpoonOnTableClothInScene-v1",
    "widowx_put_eggplant_in_basket": "PutEggplantInBasketScene-v1",
}
_CAMERA = "3rd_view_camera"
_TIP = "ee_gripper_link"  # between the fingers
_FINGER_CLOSED, _FINGER_OPEN = 0.015, 0.037  # m
_LARGEST_TURN = 0.6 * math.pi  # rad
_DISJOINT = 0.01  # m from every pose of the benchmark
_MARGIN = 0.01  # m around the benchmark's grid within which things are put


class SimplerEnvironment:
    """One WidowX scene; implements `Environment`. The robot's frame is SimplerEnv's: x forward, y left, z up.

    The state is ``[8]``: x y z of the point between the fingers (m), its orientation as a quaternion w x y z, and the
    gripper's opening; actions are ``[7]`` (`ACTION_LIMIT`). The state's frame is the robot's base.

    Raises:
        DependencyError: when mani-skill, its assets or a renderer cannot be loaded.
    """

    def __init__(self, task: str, image_size: int = 96) -> None:
        self._things = [thing.name for thing in scene_of(task).things]
        has_stand_ins([task])
        gymnasium, torch = _load()
        self._torch = torch
        self._image_size = image_size
        backend = "gpu" if torch.cuda.is_available() else "cpu"
        options = {"obs_mode": "rgb+segmentation", "sim_backend": "cpu", "render_backend": backend, "num_envs": 1}
        try:
            self._simulation: Any = gymnasium.make(_SCENES[task], **options).unwrapped
            self._simulation.reset(seed=0)
        except (RuntimeError, OSError) as error:
            raise DependencyError(_missing(error)) from error
        self._grid = self._simulation.xyz_configs.cpu()
        self.success = self.solved = False

    def reset(self, seed: int) -> None:
        """See `Environment.reset`."""
        simulation = self._simulation
        simulation.xyz_configs = self._grid if seed < EVALUATION_IDS else self._drawn(seed)
        # built anew: otherwise things settle around where the last episode left the arm, and the solver remembers it
        simulation.reset(seed=seed, options={"episode_id": self._torch.tensor([seed]), "reconfigure": True})
        self.success = self.solved = False

    def _drawn(self, seed: int) -> Any:
        """Positions ``[1, 2, 3]`` of source and target, apart from one another and from all of the benchmark's."""
        grid = self._grid.numpy().astype(np.float64)
        flat = grid[..., :2]
        low, high = flat.min(axis=0) - _MARGIN, flat.max(axis=0) + _MARGIN
        nearest = np.linalg.norm(flat[:, 0] - flat[:, 1], axis=1).min() - _MARGIN
        random = np.random.default_rng(seed)
        while True:
            drawn = random.uniform(low, high)
            away = np.linalg.norm(flat - drawn, axis=2).max(axis=1).min()
            if np.linalg.norm(drawn[0] - drawn[1]) >= nearest and away >= _DISJOINT:
                positions = np.concatenate([drawn, grid[0, :, 2:]], axis=1)
                return self._torch.tensor(positions[None], dtype=self._torch.float32)

    def step(self, action: Action) -> None:
        """See `Environment.step`."""
        limit = np.array(ACTION_LIMIT, np.float32)
        self._simulation._step_action(np.clip(action, -limit, limit).astype(np.float32)[None])  # step() would render
        self.solved = bool(self._simulation.evaluate()["success"][0])
        self.success = self.success or self.solved

    def observe(self) -> Observation:
        """See `Environment.observe`; the image is squeezed into a square."""
        seen = self._simulation.get_obs(self._simulation.get_info())["sensor_data"][_CAMERA]["rgb"][0]
        size = (self._image_size, self._image_size)
        image: Image = np.asarray(cv2.resize(seen.cpu().numpy(), size, interpolation=cv2.INTER_AREA), np.uint8)
        return Observation({THIRD_PERSON: image}, self.state, self.objects, self.success)

    @property
    def state(self) -> Action:
        """See the class."""
        robot = self._simulation.agent.robot
        tip = robot.pose.sp.inv() * robot.links_map[_TIP].pose.sp
        finger = float(robot.get_qpos()[0, -1])
        opening = np.clip((finger - _FINGER_CLOSED) / (_FINGER_OPEN - _FINGER_CLOSED), 0, 1)
        return np.concatenate([tip.p, tip.q, [opening]]).astype(np.float32)

    @property
    def objects(self) -> dict[str, Vector]:
        """See `Environment.objects`."""
        simulation = self._simulation
        actors = (simulation.objs[simulation.source_obj_name], simulation.objs[simulation.target_obj_name])
        found = {"gripper": self._place(simulation.agent.robot.links_map[_TIP].pose.sp.p)}
        return found | {name: self._place(actor.pose.sp.p) for name, actor in zip(self._things, actors, strict=True)}

    @property
    def yaw(self) -> float:
        """By how much the hand has to turn to grasp across the target's length (rad), see `turn_across`."""
        w, x, y, z = self._simulation.objs[self._simulation.source_obj_name].pose.sp.q
        yaw = math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
        return turn_across(yaw)

    @property
    def third_person(self) -> Camera:
        """See `Environment.third_person`."""
        camera = self._simulation._sensors[_CAMERA].camera
        model = camera.get_model_matrix()[0].cpu().numpy().astype(np.float64)
        right, up, back = (self._turned(axis) for axis in model[:3, :3].T)
        fovy = 2 * math.atan(camera.height / 2 / float(camera.get_intrinsic_matrix()[0, 1, 1]))
        return Camera(self._place(model[:3, 3]), right, up, -back, fovy, camera.width / camera.height)

    def close(self) -> None:
        """See `Environment.close`."""
        self._simulation.close()

    def _place(self, point: Vector) -> Vector:
        """From SAPIEN's world to right, forward and up of the robot's base."""
        return self._turned(np.asarray(point, np.float64) - self._simulation.agent.robot.pose.sp.p)

    def _turned(self, direction: Vector) -> Vector:
        base = self._simulation.agent.robot.pose.sp
        forward, left, up = base.to_transformation_matrix()[:3, :3].T @ direction
        return np.array([-left, forward, up])


def turn_across(yaw: float) -> float:
    """The turn (rad) by which a hand grasps across a thing whose length is turned by ``yaw``, in (-0.4 pi, 0.6 pi].

    Turning the other way round would do as well. Half of the benchmark's poses lie across: with the limit at pi / 2 a
    hair's breadth would decide which way, and demonstrations of one scene would contradict each other.
    """
    return _LARGEST_TURN - (_LARGEST_TURN - yaw) % math.pi


def in_robot_axes(states: Action) -> Action:
    """States ``[T, 8]`` as right, forward, up of the robot (m) and the gripper's opening, ``[T, 4]``."""
    return np.stack([-states[:, 1], states[:, 0], states[:, 2], states[:, -1]], axis=1)


def _load() -> tuple[ModuleType, ModuleType]:
    """Gymnasium, with the scenes registered, and PyTorch. SAPIEN picks its driver when it is first imported."""
    asset_folder()
    choose_driver()
    choose_renderer()  # mani-skill imports MuJoCo, too
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dependencies, about themselves
            import gymnasium  # noqa: PLC0415
            import mani_skill.envs.tasks.digital_twins.bridge_dataset_eval  # noqa: F401, PLC0415 - it registers
            import torch  # noqa: PLC0415
    except (ImportError, OSError) as error:
        raise DependencyError(_missing(error)) from error
    logging.getLogger("mani_skill ").setLevel(logging.ERROR)  # it warns of what its own scenes leave out
    return gymnasium, torch


def _missing(error: Exception) -> str:
    reason = " ".join(str(error).split())
    return f"SimplerEnv's scenes cannot be simulated and rendered here ({reason}); {REMEDY}."
