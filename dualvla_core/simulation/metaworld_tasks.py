"""Meta-World's tasks as data: what stands in each scene, what is said of it, and what the expert goes through.

``metaworld_tasks.yaml`` describes every task; ``metaworld_skills.yaml`` what several of them have in common: the
phases, what shows that one has begun, and the sentences that go with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import yaml
from pydantic import Field, TypeAdapter

from dualvla_core.params import Params
from dualvla_core.simulation.cues import Cue


class ThingEntry(Params):
    """A visible thing."""

    name: str = Field(description="What it is called, in the singular; unlike the others in its scene.")
    colour: str = Field(description="As one would call it.")
    at: str = Field(
        pattern=r"^(object|goal|(body|site|geom) \S+)$",
        description="Where the simulator keeps its position: object (the first the expert sees), goal, or the name of "
        "a body, site or geom.",
    )
    offset: tuple[float, float, float] = Field((0, 0, 0), description="From there to the thing (m).")


class TaskEntry(Params):
    """One task."""

    skill: str = Field(description="Whose phases and sentences it has.")
    activity: str = Field(description="What the robot is doing.")
    target: ThingEntry = Field(description="What the hand goes to.")
    other: ThingEntry = Field(description="What stands beside or behind it.")
    beside: tuple[ThingEntry, ...] = Field((), description="What else can be seen.")
    subject: str = Field(description="Which of them the task is about.")
    states: tuple[str, str] | None = Field(None, description="State of the subject before and after success.")
    loose: int = Field(1, ge=0, le=2, description="Separate things there are besides the robot.")
    mark: str | None = Field(None, description="The site that shows where the goal is; all other sites are hidden.")
    words: Mapping[str, str] = Field({}, description="What its skill's sentences leave open.")
    instructions: tuple[str, ...] = Field(min_length=4, description="What the robot is told.")

    @property
    def things(self) -> tuple[ThingEntry, ...]:
        """All visible things."""
        return self.target, self.other, *self.beside


class PhaseEntry(Params):
    """One phase of a skill."""

    begins: Cue = Field(Cue(), description="What shows that it has begun; the first phase begins with the episode.")
    says: tuple[str, ...] = Field(min_length=2, description="The sentences that go with it.")


class Skill(Params):
    """What the experts of some tasks go through."""

    plans: tuple[str, ...] = Field(min_length=3, description="What is said of the whole.")
    strict: bool = Field(False, description="No phase may be passed over before what begins it has been seen.")
    phases: Mapping[str, PhaseEntry] = Field(description="In their order.")


def _read(name: str) -> object:
    return yaml.safe_load((files("dualvla_core.simulation") / f"{name}.yaml").read_text(encoding="utf-8"))


TASKS: Mapping[str, TaskEntry] = TypeAdapter(dict[str, TaskEntry]).validate_python(_read("metaworld_tasks"))
"""Every task of Meta-World by its name without version suffix."""

SKILLS: Mapping[str, Skill] = TypeAdapter(dict[str, Skill]).validate_python(_read("metaworld_skills"))


def skill_of(task: str) -> Skill:
    """The skill a task asks for, its sentences completed with the task's own words."""
    entry = TASKS[task]
    skill = SKILLS[entry.skill]
    phases = {
        name: phase.model_copy(update={"says": _complete(phase.says, entry.words)})
        for name, phase in skill.phases.items()
    }
    return skill.model_copy(update={"plans": _complete(skill.plans, entry.words), "phases": phases})


def _complete(sentences: tuple[str, ...], words: Mapping[str, str]) -> tuple[str, ...]:
    for name, word in words.items():
        sentences = tuple(sentence.replace(f"{{{name}}}", word) for sentence in sentences)
    return sentences
