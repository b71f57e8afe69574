"""The simulators as ``vla-eval`` benchmarks that record every control step."""
# mypy: disable-error-code="import-untyped", allow-subclassing-any

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa
from vla_eval.benchmarks.base import StepBenchmark, StepResult
from vla_eval.protocol.numpy_codec import set_image_format
from vla_eval.render import configure_mujoco_render

from dualvla_core.errors import DependencyError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.simulation.environment import THIRD_PERSON, Environment, Image, Observation
from dualvla_core.simulation.narration import instruction_of
from dualvla_core.simulation.simpler_original import OriginalEnvironment
from dualvla_core.simulation.suites import SUITES

set_image_format("raw")  # the default compresses every image to PNG, which takes longer than simulating the step

MOMENTS = pa.schema([pa.field("step", pa.int32(), False), pa.field("image", pa.binary(), False)])
"""The images kept of one episode."""


class SimulationBenchmark(StepBenchmark):
    """Plays the trials of a `RolloutConfig` and records them; a step of ``vla-eval`` is a decision with its actions.

    Rows recorded per control step: ``state``, ``objects`` and ``solved`` before it, ``action``, ``reasoning``,
    ``latency_s``, ``replanned``; then one row with the last ``state``, ``objects`` and ``solved`` alone. The images
    kept go to ``<frames>/<episode id>.arrow`` (`MOMENTS`).
    """

    render_backends: ClassVar[frozenset[str]] = frozenset({"cpu", "gpu"})

    @classmethod
    def configure_render(cls, _mode: str) -> dict[str, str]:
        """Nothing to set: the environment chooses its renderer when it loads its simulator."""
        return {}

    def __init__(self, config: dict[str, Any], frames: str) -> None:
        super().__init__()
        self._config = RolloutConfig.model_validate(config)
        self._suite = SUITES[self._config.benchmark]
        self._frames = Path(frames)
        self._task_name: str | None = None
        self._environment: Environment | None = None
        self._seed = 0
        self._steps = 0
        self._moments: list[tuple[int, Image]] = []

    def make_environment(self, task: str) -> Environment:
        """The environment of a task."""
        return self._suite.make(task, self._config.image_size, self._config.wrist_image_size)

    def get_tasks(self) -> list[dict[str, Any]]:
        """The tasks by name; ``vla-eval`` adds the number of the episode."""
        return [{"name": name, "suite": self._config.benchmark} for name in self._config.tasks]

    def reset(self, task: dict[str, Any]) -> None:
        """Start the episode whose seed is ``first_seed`` plus its number."""
        self._seed = self._config.first_seed + task["episode_idx"]
        self._steps, self._moments = 0, []
        self._enter(task["name"]).reset(self._seed)
        self._instruction = self.instruction(task["name"], self._seed)

    def instruction(self, task: str, seed: int) -> str:
        """What the policy is asked for, in words."""
        return instruction_of(task, seed)

    def step(self, action: dict[str, Any]) -> StepResult:
        """Carry out a decision: actions ``[n, A]``, up to the end of the episode."""
        environment = self._playing
        limits = np.array(self._suite.limits, np.float32)
        for index, row in enumerate(np.clip(action["actions"], -limits, limits)):
            first = index == 0
            self._recorder.record_step(
                **_moment(self._seen if first else environment),
                solved=environment.solved,
                action=row.tolist(),
                reasoning=action["reasoning"] if first else None,
                latency_s=action["latency_s"] if first else None,
                replanned=first,
            )
            environment.step(row)
            self._steps += 1
            if self._over:
                break
        return StepResult(obs=None, reward=0.0, done=self._over, info={})

    def make_obs(self, _raw_obs: None, _task: dict[str, Any]) -> dict[str, Any]:
        """What the policy sees, rendered now."""
        self._seen = self._playing.observe()
        self._moments.append((self._steps, self._seen.images[THIRD_PERSON]))
        return {
            "images": dict(self._seen.images),
            "state": self._seen.state,
            "task_description": self._instruction,
            "seed": self._seed,
        }

    def get_step_result(self, _step_result: StepResult) -> dict[str, Any]:
        """Success and the number of control steps; the last moment is recorded here."""
        observation = self._playing.observe()
        self._moments.append((self._steps, observation.images[THIRD_PERSON]))
        self._recorder.record_step(**_moment(observation), solved=self._playing.solved)
        if self._recorder.is_active:
            kept = spread(self._moments, self._config.judge_frames)
            _write_moments(kept, self._frames / f"{self._recorder.eid}.arrow", self._config.jpeg_quality)
        success = self._playing.solved if self._config.success_mode == "final" else observation.success
        return {"success": success, "steps": self._steps, "instruction": self._instruction}

    def cleanup(self) -> None:
        """Free the simulator."""
        if self._environment is not None:
            self._environment.close()
            self._environment = None

    @property
    def _over(self) -> bool:
        ended = self._config.success_mode == "early_stop" and self._playing.success
        return ended or self._steps == self._config.max_steps

    @property
    def _playing(self) -> Environment:
        assert self._environment is not None
        return self._environment

    def _enter(self, task: str) -> Environment:
        if task != self._task_name or self._environment is None:
            self.cleanup()  # a second renderer alive would garble the images
            self._environment, self._task_name = self.make_environment(task), task
        return self._environment


class MetaWorldBenchmark(SimulationBenchmark):
    """Meta-World on MuJoCo."""

    @classmethod
    def configure_render(cls, mode: str) -> dict[str, str]:
        """Choose MuJoCo's renderer before it is imported."""
        applied: dict[str, str] = configure_mujoco_render(mode)
        return applied


class OriginalBenchmark(SimulationBenchmark):
    """The original SimplerEnv, in whose own words the policy is asked."""

    def instruction(self, _task: str, _seed: int) -> str:
        """See `SimulationBenchmark.instruction`."""
        assert isinstance(self._environment, OriginalEnvironment)
        return self._environment.instruction


def spread(moments: Sequence[tuple[int, Image]], most: int) -> list[tuple[int, Image]]:
    """At most ``most`` of the moments, evenly spread over them, the first and the last included."""
    if len(moments) <= most:
        return list(moments)
    return [moments[index] for index in np.linspace(0, len(moments) - 1, most).round().astype(int)]


def _moment(seen: Observation | Environment) -> dict[str, Any]:
    """What is recorded of a moment; objects as rows of `OBJECTS`."""
    objects = [{"name": name, "position": position.tolist()} for name, position in seen.objects.items()]
    return {"state": seen.state.tolist(), "objects": objects}


def _write_moments(moments: Sequence[tuple[int, Image]], path: Path, quality: int) -> None:
    images = []
    for _, image in moments:
        encoded, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
        if not encoded:
            raise DependencyError("OpenCV cannot write JPEG images here; install the package opencv-python.")
        images.append(data.tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    batch = pa.RecordBatch.from_pydict({"step": [step for step, _ in moments], "image": images}, schema=MOMENTS)
    with pa.ipc.new_file(str(path), MOMENTS) as writer:
        writer.write_batch(batch)
