"""The original SimplerEnv on SAPIEN 2, the Google robot among it: it runs in an interpreter of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.simulation.environment import THIRD_PERSON, Action, Camera, Image, Observation, Vector
from dualvla_core.simulation.original_settings import Setting, column_of

_LONGEST = 500  # control steps; who plays ends an episode before
_ARMS = {
    "google_robot_static": "arm_pd_ee_delta_pose_align_interpolate_by_planner_"
    "gripper_pd_joint_target_delta_pos_interpolate_by_planner",
    "widowx": "arm_pd_ee_target_delta_pose_align2_gripper_pd_joint_pos",
}
"""The robots' control modes in SimplerEnv's scripts."""


class OriginalEnvironment:
    """One column of the paper's table, an episode per seed; implements `Environment`.

    The state is ``[8]``, in the frame of the robot's base: x y z of the point between the fingers (m), its orientation
    as a quaternion w x y z, and the gripper's opening. Actions are ``[7]``: dx dy dz (m), a rotation vector (rad) and
    the gripper as the robot's real data has it. The Google robot's closes (> 0) or opens (< 0) it further, in [-1, 1];
    WidowX's is a position, above 0.5 open.

    Raises `DependencyError` when SimplerEnv cannot be imported.
    """

    def __init__(self, task: str, image_size: int = 96) -> None:
        self._make, self._overlays = _load()
        self._column = column_of(task)
        self._image_size = image_size
        self._simulation: Any = None
        self.success = self.solved = False

    def reset(self, seed: int) -> None:
        """See `Environment.reset`; the scene is built anew, as SimplerEnv's scripts do."""
        self.close()
        setting = self._column.settings[seed]
        self._simulation = self._make(setting.environment, **self._arguments(setting))
        thing: dict[str, Any] = {"episode_id": setting.object_episode}
        if setting.object_xy is not None:
            thing = {"init_xy": np.array(setting.object_xy)}
        robot = {"init_xy": np.array(setting.robot_xy), "init_rot_quat": np.array(setting.orientation)}
        self._seen, _ = self._simulation.reset(options={"robot_init_options": robot, "obj_init_options": thing})
        self.success = self.solved = False

    def _arguments(self, setting: Setting) -> dict[str, Any]:
        """As SimplerEnv's scripts make an environment."""
        column = self._column
        arguments = {
            "obs_mode": "rgbd",
            "robot": column.robot,
            "sim_freq": column.simulation_hz,
            "control_freq": column.control_hz,
            "control_mode": _ARMS[column.robot],
            "max_episode_steps": _LONGEST,
            "scene_name": setting.scene,
            "camera_cfgs": {"add_segmentation": True},
            **setting.build,
        }
        if setting.overlay is not None:
            arguments |= {"rgb_overlay_path": str(self._overlays / setting.overlay)}
            arguments |= {"rgb_overlay_cameras": [column.camera]}
        return arguments

    def step(self, action: Action) -> None:
        """See `Environment.step`."""
        *motion, gripper = action.tolist()
        if self._column.robot == "widowx":
            gripper = 1.0 if gripper > 0.5 else -1.0
        self._seen, _, done, _, _ = self._simulation.step(np.array([*motion, gripper]))
        self.solved = bool(done)
        self.success = self.success or self.solved

    def observe(self) -> Observation:
        """See `Environment.observe`; the image is squeezed into a square."""
        seen = np.asarray(self._seen["image"][self._column.camera]["rgb"], np.uint8)
        size = (self._image_size, self._image_size)
        image: Image = np.asarray(cv2.resize(seen, size, interpolation=cv2.INTER_AREA), np.uint8)
        return Observation({THIRD_PERSON: image}, self.state, self.objects, self.success)

    @property
    def instruction(self) -> str:
        """What SimplerEnv asks for in this episode."""
        return str(self._inner.get_language_instruction())

    @property
    def state(self) -> Action:
        """See the class."""
        inner = self._inner
        tip = inner.agent.robot.pose.inv() * inner.tcp.pose
        opening = 1.0 - float(inner.agent.get_gripper_closedness())
        return np.concatenate([tip.p, tip.q, [opening]]).astype(np.float32)

    @property
    def objects(self) -> dict[str, Vector]:
        """Nothing: its scenes hold different things."""
        return {}

    @property
    def third_person(self) -> Camera:
        """Asked for by recordings alone; raises `ConfigError`."""
        raise ConfigError("Nothing is recorded in the original SimplerEnv; its tasks can only be played.")

    def close(self) -> None:
        """See `Environment.close`."""
        if self._simulation is not None:
            self._simulation.close()
            self._simulation = None

    @property
    def _inner(self) -> Any:
        return self._simulation.unwrapped


def _load() -> tuple[Any, Path]:
    """What makes its environments, and where its photographs of backgrounds are."""
    try:
        import gymnasium  # noqa: PLC0415
        import mani_skill2_real2sim.envs  # noqa: PLC0415 - it registers
    except (ImportError, OSError) as error:
        raise DependencyError(
            f"The original SimplerEnv cannot be imported ({' '.join(str(error).split())}); name an interpreter that "
            "has it by DUALVLA_SIMPLER_PYTHON, see docs/simulation.md."
        ) from error
    return gymnasium.make, Path(mani_skill2_real2sim.ASSET_DIR) / "real_inpainting"
