"""Meta-World 3 on MuJoCo, rendered in software: the environment and its scripted expert."""

from __future__ import annotations

import math
import os
import sys
import warnings
from types import ModuleType
from typing import Any

import numpy as np

from dualvla_core.episodes.rotations import quaternion_to_rpy
from dualvla_core.errors import DependencyError
from dualvla_core.simulation.environment import THIRD_PERSON, WRIST, Action, Camera, Image, Observation, Vector
from dualvla_core.simulation.metaworld_tasks import TASKS, TaskEntry, ThingEntry
from dualvla_core.simulation.scenes import scene_of

CONTROL_HZ = 80
"""Meta-World steps five times 2.5 ms per action."""

_CAMERAS = {THIRD_PERSON: "corner2", WRIST: "gripperPOV"}
_CORNER_POSITION = (0.75, 0.075, 0.7)  # m; where it stands by default the workspace fills a third of the image
_GRIPPER_CLOSED, _GRIPPER_OPEN = 0.029, 0.1  # m between the finger bodies when the pads touch / at the stops
_AFTER, _BEFORE = [1, 2, 0], [2, 0, 1]  # of x, y and z, in turn
_POINTING_DOWN = np.array([0.0, -1.0, 0.0, 1.0]) / math.sqrt(2)  # conjugate (x y z w) of the hand's commanded attitude


class MetaWorldEnvironment:
    """One Meta-World task with object positions drawn afresh for each seed; implements `Environment`.

    Close an environment before the next one is made: a renderer that lives on garbles the images of its successor.

    Raises:
        ConfigError: for a task that is not recorded here.
        DependencyError: when Meta-World, MuJoCo or software rendering cannot be loaded.
    """

    def __init__(self, task: str, image_size: int = 96, wrist_image_size: int = 96) -> None:
        self._entry = _entry_of(task)
        mujoco, tasks, _ = _load()
        self._mujoco = mujoco
        self._simulation: Any = tasks[f"{task}-v3"]()
        self._draw_positions_by_seed()
        self._prepare_model()
        sizes = {THIRD_PERSON: image_size, WRIST: wrist_image_size}
        model = self._simulation.model
        by_size = {size: _renderer(mujoco, model, size) for size in set(sizes.values())}
        self._renderers = {camera: by_size[size] for camera, size in sizes.items()}
        self.success = self.solved = False
        self.privileged: Vector = np.zeros(39)
        """Meta-World's own flat observation ``[39]``, ground truth included: what a scripted expert sees."""

    def _draw_positions_by_seed(self) -> None:
        simulation = self._simulation
        simulation._partially_observable = False  # the experts read the goal
        simulation.__dict__.pop("sawyer_observation_space", None)  # cached with the goal hidden
        simulation._set_task_called = True  # instead of one of Meta-World's 50 fixed positions ...
        simulation._freeze_rand_vec = False  # ... a new one at each reset ...
        simulation.seeded_rand_vec = True  # ... from the seeded generator

    def _prepare_model(self) -> None:
        model = self._simulation.model
        model.vis.quality.offsamples = 0  # software rendering pays most for anti-aliasing and shadows
        model.cam_pos[model.camera(_CAMERAS[THIRD_PERSON]).id] = _CORNER_POSITION
        for site in range(model.nsite):  # the simulator's marks are no things; one that shows the goal is drawn as one
            if model.site(site).name != self._entry.mark:
                model.site_rgba[site, 3] = 0

    def reset(self, seed: int) -> None:
        """See `Environment.reset`."""
        simulation = self._simulation
        simulation.seed(seed)
        simulation.reset()
        # reset() moves bodies after its last forward pass: without another one, images show the scene of before
        self._mujoco.mj_forward(simulation.model, simulation.data)
        simulation._prev_obs = simulation._get_curr_obs_combined_no_goal()
        self.privileged = simulation._get_obs()
        self.success = self.solved = False

    def step(self, action: Action) -> None:
        """See `Environment.step`."""
        observation, _, _, _, info = self._simulation.step(np.clip(action, -1, 1).astype(np.float32))
        self.privileged = observation
        self.solved = info["success"] > 0
        self.success = self.success or self.solved

    def observe(self) -> Observation:
        """See `Environment.observe`."""
        images = {camera: self._render(camera) for camera in _CAMERAS}
        return Observation(images=images, state=self.state, objects=self.objects, success=self.success)

    @property
    def third_person(self) -> Camera:
        """The third-person camera, as its upright images show the scene."""
        camera = self._simulation.data.camera(_CAMERAS[THIRD_PERSON])
        right, up, back = camera.xmat.reshape(3, 3).T.copy()
        fovy = self._simulation.model.camera(_CAMERAS[THIRD_PERSON]).fovy[0]
        return Camera(camera.xpos.copy(), -right, -up, -back, math.radians(fovy))  # hangs upside down, see _render

    def close(self) -> None:
        """See `Environment.close`."""
        for renderer in set(self._renderers.values()):
            renderer.close()
        self._simulation.close()

    def _render(self, camera: str) -> Image:
        renderer = self._renderers[camera]
        renderer.update_scene(self._simulation.data, camera=_CAMERAS[camera])
        flags = self._mujoco.mjtRndFlag
        renderer.scene.flags[flags.mjRND_SHADOW] = renderer.scene.flags[flags.mjRND_REFLECTION] = 0
        image: Image = renderer.render()
        # corner2 hangs upside down: turning by 180 degrees keeps left and right true, a vertical flip would mirror them
        return image[::-1, ::-1].copy() if camera == THIRD_PERSON else image.copy()

    @property
    def state(self) -> Action:
        """``[7]``; orientation relative to the hand pointing straight down, in world axes.

        The hand's own quaternion stays near pitch = 90 degrees, where roll and yaw are undefined and would jump.
        """
        data = self._simulation.data
        hand = data.body("hand")
        w, x, y, z = hand.xquat
        rpy = quaternion_to_rpy(_hamilton(np.array([x, y, z, w]), _POINTING_DOWN)[None])[0]
        width = np.linalg.norm(data.body("rightclaw").xpos - data.body("leftclaw").xpos)
        gripper = min(max((width - _GRIPPER_CLOSED) / (_GRIPPER_OPEN - _GRIPPER_CLOSED), 0.0), 1.0)
        return np.concatenate([hand.xpos, rpy, [gripper]]).astype(np.float32)

    @property
    def objects(self) -> dict[str, Vector]:
        """See `Environment.objects`."""
        gripper = np.array(self._simulation.tcp_center)
        return {"gripper": gripper, **{thing.name: self._position(thing) for thing in self._entry.things}}

    def _position(self, thing: ThingEntry) -> Vector:
        simulation = self._simulation
        kind, _, name = thing.at.partition(" ")
        if kind == "goal":
            place = simulation._target_pos
        elif kind == "object":
            place = simulation._get_pos_objects()[:3]
        else:
            place = getattr(simulation.data, kind)(name).xpos
        return np.array(place + np.array(thing.offset), np.float64)


class ScriptedExpert:
    """Meta-World's own scripted policy for a task, acting on the simulator's ground truth."""

    def __init__(self, task: str) -> None:
        _entry_of(task)
        self._policy = _load()[2][f"{task}-v3"]()

    def act(self, privileged: Vector) -> Action:
        """The ``[4]`` action for Meta-World's flat observation ``[39]``, clipped to [-1, 1]."""
        observation = privileged.copy()  # some policies shift the object's position in place
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that its gains ask for more than 1, which is clipped here
            action: Action = np.clip(self._policy.get_action(observation), -1, 1).astype(np.float32)
        return action


class AttendingExpert:
    """A `ScriptedExpert` that looks at its environment itself; implements `Expert`."""

    phase = None
    finished = True

    def __init__(self, task: str, environment: MetaWorldEnvironment) -> None:
        self._expert = ScriptedExpert(task)
        self._environment = environment

    def begin(self) -> None:
        """See `Expert.begin`."""

    def act(self) -> Action:
        """See `Expert.act`."""
        return self._expert.act(self._environment.privileged)


def _entry_of(task: str) -> TaskEntry:
    return TASKS[scene_of(task).task]


def choose_renderer() -> None:
    """Let MuJoCo render in software unless another renderer was asked for; before it is first imported."""
    if sys.platform == "linux":  # elsewhere MuJoCo's own choice needs no display
        os.environ.setdefault("MUJOCO_GL", "osmesa")


def _load() -> tuple[ModuleType, dict[str, Any], dict[str, Any]]:
    """MuJoCo, Meta-World's tasks and its experts. MuJoCo picks its renderer when it is first imported, hence here."""
    choose_renderer()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dependencies, about themselves
            import mujoco  # noqa: PLC0415
            from metaworld.env_dict import ALL_V3_ENVIRONMENTS  # noqa: PLC0415
            from metaworld.policies import ENV_POLICY_MAP  # noqa: PLC0415
    except (ImportError, AttributeError, OSError) as error:  # PyOpenGL raises AttributeError without its library
        raise DependencyError(_missing(error)) from error
    return mujoco, ALL_V3_ENVIRONMENTS, ENV_POLICY_MAP


def _renderer(mujoco: ModuleType, model: object, size: int) -> Any:
    try:
        return mujoco.Renderer(model, size, size)
    except (AttributeError, OSError, RuntimeError) as error:
        raise DependencyError(_missing(error)) from error


def _missing(error: Exception) -> str:
    return (
        f"Meta-World cannot be simulated and rendered here ({error}): install the extra with "
        "`pip install 'dualvla[simulation]'` and, for rendering without a GPU, the Debian package libosmesa6."
    )


def _hamilton(a: Vector, b: Vector) -> Vector:
    """Product of two quaternions x y z w: the rotation ``b`` followed by ``a``."""
    cross = a[_AFTER] * b[_BEFORE] - a[_BEFORE] * b[_AFTER]  # np.cross is three times as slow, at every control step
    return np.append(a[3] * b[:3] + b[3] * a[:3] + cross, a[3] * b[3] - a[:3] @ b[:3])
