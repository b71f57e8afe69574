"""The true phases of an expert's demonstration, read off the simulator's state.

Phases follow one another in a fixed order per task and are never re-entered: an expert that hovers around a threshold
does not flicker. Of the tasks that came first they begin at the distances at which the experts switch targets; of the
others at what a camera sees as well: the hand turns, the fingers close, the thing moves, the task is solved.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dualvla_core.simulation.cues import Moment
from dualvla_core.simulation.environment import Observation, Vector
from dualvla_core.simulation.metaworld_tasks import Skill, skill_of
from dualvla_core.simulation.scenes import scene_of

_WINDOW = 2  # frames before and after, over which speeds are taken


def phases_of(task: str, frames: Sequence[Observation]) -> list[str]:
    """The phase of each frame of a demonstration in Meta-World; names as in ``metaworld_skills.yaml``.

    At each frame the phase advances for as long as the cue of a later one holds (of the next one, where the skill is
    strict), so a phase may be passed over.
    """
    skill = skill_of(task)
    names, current = list(skill.phases), 0
    found = []
    for now in _moments(scene_of(task).target.name, frames):
        while (begun := _begun(skill, current, now)) is not None:
            current = begun
        found.append(names[current])
    return found


def phase_changes(phases: Sequence[str]) -> list[tuple[int, str]]:
    """``(frame_index, phase)`` of the first frame of each new phase; frame 0 is not listed."""
    return [(index, phase) for index, phase in enumerate(phases) if index and phase != phases[index - 1]]


def _begun(skill: Skill, current: int, now: Moment) -> int | None:
    """The number of the phase after the ``current`` one that begins ``now``, if any does."""
    ahead = list(skill.phases.values())[current + 1 :]
    cues = [phase.begins for phase in (ahead[:1] if skill.strict else ahead)]
    return next((current + number for number, cue in enumerate(cues, start=1) if cue.holds(now)), None)


def _moments(target: str, frames: Sequence[Observation]) -> Iterator[Moment]:
    states = np.array([frame.state for frame in frames], np.float64)
    places = np.array([frame.objects[target] for frame in frames], np.float64)
    own, its = _speeds(states), _speeds(places)
    lowest = np.minimum.accumulate(places[:, 2])
    for index, frame in enumerate(frames):
        yield Moment(
            hand=states[index, :3],
            velocity=own[index, :3],
            closing=-float(own[index, -1]),
            target=places[index],
            target_start=places[0],
            target_lowest=float(lowest[index]),
            target_velocity=its[index],
            success=frame.success,
        )


def _speeds(values: Vector) -> Vector:
    """The change a frame of ``values`` ``[T, D]``, over a few frames before and after each ``[T, D]``."""
    frames = np.arange(len(values))
    before, after = np.maximum(frames - _WINDOW, 0), np.minimum(frames + _WINDOW, len(values) - 1)
    return np.asarray((values[after] - values[before]) / np.maximum(after - before, 1)[:, None])
