"""Good trajectories to plant defects into: scripted experts that say what they are about to do.

Beside each clean episode the same initial condition is played with noise added to the expert's actions, in the
simulator, so that images and objects show what the noise did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from pydantic import Field

from dualvla_core.evaluation.config import TrialConfig
from dualvla_core.evaluation.protocol import EvaluationProtocol
from dualvla_core.evaluation.trajectory import Frame, Trajectory, Utterance, write_trajectories
from dualvla_core.params import Params, Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.simulation.environment import THIRD_PERSON, Action, Observation
from dualvla_core.simulation.metaworld import CONTROL_HZ, MetaWorldEnvironment, ScriptedExpert
from dualvla_core.simulation.narration import instruction_of, narrate
from dualvla_core.simulation.phases import phases_of
from dualvla_core.simulation.scenes import MetaWorldTask
from dualvla_core.simulation.suites import METAWORLD

_FRAME_EVERY = 3  # control steps between images: dense enough to be rearranged in time
_JPEG_QUALITY = 90


class ExpertsConfig(Params):
    """Which expert episodes are recorded for a probe."""

    tasks: tuple[MetaWorldTask, ...] = Field(
        default=("reach", "drawer-open", "door-open", "button-press-topdown", "drawer-close", "window-open"),
        min_length=1,
        description="Tasks, without their version suffix",
    )
    episodes_per_task: int = Field(default=4, ge=1, description="Episodes per task (episodes)")
    first_seed: int = Field(default=90000, ge=0, description="Seed of each task's first episode; the others count up")
    jitter: tuple[float, ...] = Field(
        default=(0.25, 0.5, 1.0), description="Noise of the jittered runs: standard deviation per action, of full scale"
    )
    max_steps: int = Field(default=200, ge=1, le=499, description="Longest episode (control steps)")
    image_size: int = Field(default=160, ge=32, le=480, multiple_of=2, description="Side of the images (px)")


def clean_folder(recording: Path) -> Path:
    """Where the undisturbed episodes of a recording lie, as a folder of rollouts."""
    return recording / "clean"


def jitter_folder(recording: Path, level: float) -> Path:
    """Where the episodes with noise of ``level`` lie, in the order of the clean ones."""
    return recording / f"jitter-{level:g}"


def record_experts(config: ExpertsConfig, output: Path, progress: Progress = silent) -> Summary:
    """Record every episode clean and at each level of jitter; one folder of rollouts per level.

    Episodes the clean expert does not solve are left out: a probe needs trajectories that nothing is wrong with.
    """
    levels = (0.0, *config.jitter)
    recorded: dict[float, list[Trajectory]] = {level: [] for level in levels}
    total = len(config.tasks) * config.episodes_per_task
    attempted = 0
    for task in config.tasks:
        environment, expert = MetaWorldEnvironment(task, config.image_size, 32), ScriptedExpert(task)
        try:
            for seed in range(config.first_seed, config.first_seed + config.episodes_per_task):
                attempted += 1
                clean = _play(environment, expert, (task, seed), 0.0, config)
                if clean.success:
                    recorded[0.0].append(clean)
                    for level in config.jitter:
                        noisy = _play(environment, expert, (task, seed), level, config)
                        recorded[level].append(_with_words_of(noisy, clean))
                progress(attempted, total)
        finally:
            environment.close()
    for level, trajectories in recorded.items():
        folder = jitter_folder(output, level) if level else clean_folder(output)
        folder.mkdir()
        numbered = [_numbered(each, number) for number, each in enumerate(trajectories)]
        write_trajectories(numbered, _protocol(config, level), folder)
    return {"attempted": attempted, "episodes": len(recorded[0.0]), "levels of jitter": len(config.jitter)}


def _protocol(config: ExpertsConfig, level: float) -> EvaluationProtocol:
    trials = TrialConfig(
        tasks=config.tasks,
        first_seed=config.first_seed,
        episodes_per_task=config.episodes_per_task,
        max_steps=config.max_steps,
        execute=1,
        image_size=config.image_size,
    )
    return EvaluationProtocol(
        **trials.model_dump(), simulator=METAWORLD.versions, harness=f"scripted expert, jitter {level:g}"
    )


def _play(
    environment: MetaWorldEnvironment,
    expert: ScriptedExpert,
    episode: tuple[str, int],
    level: float,
    config: ExpertsConfig,
) -> Trajectory:
    task, seed = episode
    random = np.random.default_rng([seed, round(1000 * level)])
    environment.reset(seed)
    moments = [_seen(environment, 0)]
    actions: list[Action] = []
    while not environment.success and len(actions) < config.max_steps:
        action = expert.act(environment.privileged)
        action[:3] += random.normal(0, level, 3).astype(np.float32)
        actions.append(np.clip(action, -1, 1))
        environment.step(actions[-1])
        moments.append(_seen(environment, len(actions)))
    moments[-1] = environment.observe()
    return Trajectory(
        rollout=0,
        task=task,
        seed=seed,
        instruction=instruction_of(task, seed),
        policy_type="generalist",
        success=environment.success,
        max_steps=config.max_steps,
        states=np.array([moment.state for moment in moments], np.float32),
        actions=np.array(actions, np.float32),
        reasoning=_words(task, seed, moments),
        frames=tuple(Frame(step, _jpeg(moment)) for step, moment in enumerate(moments) if moment.images),
        objects={
            name: np.array([moment.objects[name] for moment in moments], np.float32) for name in moments[0].objects
        },
    )


def _seen(environment: MetaWorldEnvironment, step: int) -> Observation:
    """The present moment, with images only now and then: rendering takes most of a step's time."""
    if step % _FRAME_EVERY == 0:
        return environment.observe()
    return Observation({}, environment.state, environment.objects, environment.success)


def _words(task: str, seed: int, moments: Sequence[Observation]) -> tuple[Utterance, ...]:
    """What the demonstrations' narration says, all of its pieces whenever one changes, as a policy would say it."""
    rows = narrate(task, seed, moments, phases_of(task, moments), METAWORLD)
    present: dict[str, str] = {}
    said: dict[int, str] = {}
    for row in rows:
        present[row.style] = row.content
        said[round(row.timestamp * CONTROL_HZ)] = "\n".join(f"{style}: {text}" for style, text in present.items())
    return tuple(Utterance(step, text) for step, text in said.items() if step < len(moments) - 1)


def _with_words_of(noisy: Trajectory, clean: Trajectory) -> Trajectory:
    """The clean run's words, spread over the noisy run: noise changes what is done, not what is meant."""
    stretch = noisy.steps / clean.steps
    words = {min(int(said.step * stretch), noisy.steps - 1): said.text for said in clean.reasoning}
    return replace(noisy, reasoning=tuple(Utterance(step, text) for step, text in words.items()))


def _numbered(trajectory: Trajectory, number: int) -> Trajectory:
    return replace(trajectory, rollout=number)


def _jpeg(moment: Observation) -> bytes:
    image = moment.images[THIRD_PERSON][..., ::-1]
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
