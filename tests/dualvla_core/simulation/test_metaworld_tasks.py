from __future__ import annotations

import hashlib
import json
import string
from itertools import chain
from typing import get_args

import numpy as np
import pytest

from dualvla_core.simulation import metaworld
from dualvla_core.simulation.environment import Observation
from dualvla_core.simulation.metaworld import MetaWorldEnvironment, ScriptedExpert
from dualvla_core.simulation.metaworld_tasks import SKILLS, TASKS, skill_of
from dualvla_core.simulation.narration import instruction_of, narrate
from dualvla_core.simulation.phases import phases_of
from dualvla_core.simulation.scenes import SCENES, DemoTask, MetaWorldTask
from dualvla_core.simulation.suites import METAWORLD
from dualvla_core.simulation.wording import WORDINGS

SLOTS = {"target", "other", "side", "depth", "height", "where", "beyond"}
FEW = ("pick-place", "plate-slide-back", "button-press-wall", "lever-pull")


def test_the_table_names_the_fifty_tasks_that_can_be_chosen() -> None:
    assert len(TASKS) == 50
    assert set(TASKS) == set(get_args(MetaWorldTask))
    assert list(TASKS)[:6] == list(get_args(DemoTask))


def test_the_table_names_the_tasks_of_the_simulator(simulator: None) -> None:
    _, tasks, experts = metaworld._load()
    assert {f"{task}-v3" for task in TASKS} == set(tasks) == set(experts)


def test_every_skill_is_asked_for() -> None:
    assert {entry.skill for entry in TASKS.values()} == set(SKILLS)


def test_no_two_tasks_are_told_the_same() -> None:
    told = list(chain.from_iterable(entry.instructions for entry in TASKS.values()))
    assert len(set(told)) == len(told)
    assert {instruction_of("pick-place", seed) for seed in range(100)} == set(TASKS["pick-place"].instructions)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_said_of_a_task_is_complete(task: str) -> None:
    entry, wording = TASKS[task], WORDINGS[task]
    said = [*wording.plans, *chain.from_iterable(wording.subtasks.values())]
    for text in said:
        assert {slot for _, slot, _, _ in string.Formatter().parse(text) if slot is not None} <= SLOTS, text
        assert text[0].isupper(), text
        assert text[-1] == ".", text
    raw = "".join(chain.from_iterable(phase.says for phase in SKILLS[entry.skill].phases.values()))
    raw += "".join(SKILLS[entry.skill].plans)
    assert {slot for _, slot, _, _ in string.Formatter().parse(raw) if slot} <= SLOTS | set(entry.words)
    assert all(f"{{{word}}}" in raw for word in entry.words), "a word that no sentence asks for"
    names = [thing.name for thing in entry.things]
    assert len(set(names)) == len(names)
    assert entry.subject in names


def test_every_skill_ends_with_success_and_begins_with_the_episode() -> None:
    for skill in SKILLS.values():
        first, *ahead = skill.phases.values()
        assert not first.begins.model_fields_set
        assert all(phase.begins.model_fields_set for phase in ahead)
        assert list(skill.phases)[-1] == "hold"
        assert ahead[-1].begins.solved


def test_a_task_lends_its_words_to_its_skill() -> None:
    assert "Lift the {target} off the peg." in skill_of("disassemble").phases["lift"].says
    assert any("pull it to the green ball" in plan for plan in skill_of("coffee-pull").plans)


def attempt(task: str, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Observation], bool]:
    """One expert's attempt without rendering."""
    monkeypatch.setattr(metaworld, "_renderer", lambda *_: None)
    monkeypatch.setattr(MetaWorldEnvironment, "_render", lambda *_: np.zeros((1, 1, 3), np.uint8))
    environment, expert = MetaWorldEnvironment(task, 32, 32), ScriptedExpert(task)
    environment.reset(1000)
    frames = [environment.observe()]
    while not environment.success and len(frames) < 400:
        environment.step(expert.act(environment.privileged))
        frames.append(environment.observe())
    return frames, environment.success


def check(task: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    frames, solved = attempt(task, monkeypatch)
    assert set(frames[0].objects) == {"gripper", *(thing.name for thing in SCENES[task].things)}
    assert all(np.isfinite(position).all() for position in frames[-1].objects.values())
    phases = phases_of(task, frames)
    assert set(phases) <= set(skill_of(task).phases)
    assert (phases[-1] == "hold") == solved
    rows = narrate(task, 1000, frames, phases, METAWORLD)
    assert {row.style for row in rows} == {"plan", "subtask", "motion"}
    assert not any(mark in row.content for row in rows for mark in "{}")
    return solved


@pytest.mark.parametrize("task", FEW)
def test_an_expert_goes_through_the_phases_of_its_task(
    task: str, simulator: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check(task, monkeypatch)


@pytest.mark.slow
def test_every_expert_goes_through_the_phases_of_its_task(simulator: None, monkeypatch: pytest.MonkeyPatch) -> None:
    solved = {task: check(task, monkeypatch) for task in TASKS}
    assert sum(solved.values()) >= 46, [task for task, done in solved.items() if not done]


def test_what_the_demo_says_is_what_it_has_always_said() -> None:
    """Its recordings, and all that was measured on them, are known by these very words."""
    said = [
        (
            list(wording.instructions),
            list(wording.plans),
            {name: list(texts) for name, texts in wording.subtasks.items()},
        )
        for wording in (WORDINGS[task] for task in get_args(DemoTask))
    ]
    assert hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16] == "b2fdee4fab5cca32"
