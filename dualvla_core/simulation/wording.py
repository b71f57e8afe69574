"""Every sentence that instructs an episode or narrates it, as templates over the scene.

Placeholders: ``{target}`` and ``{other}`` are colour and name of the scene's things; ``{side}`` and ``{depth}`` say
where the task's subject stands on the table, ``{height}`` how high; ``{where}`` says where the target is as seen from
the gripper when the phase begins, ``{beyond}`` where the other thing is. Directions are the robot's own (see
`environment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dualvla_core.simulation.metaworld_tasks import TASKS, skill_of


@dataclass(frozen=True)
class Wording:
    """The alternatives a task's episodes choose from; subtasks by phase."""

    instructions: Sequence[str]
    plans: Sequence[str]
    subtasks: Mapping[str, Sequence[str]]


def _of_metaworld(task: str) -> Wording:
    skill = skill_of(task)
    says = {phase: entry.says for phase, entry in skill.phases.items()}
    return Wording(TASKS[task].instructions, skill.plans, says)


def _put(thing: str, instructions: Sequence[str], on: str = "on") -> Wording:
    """Picking ``thing`` up and putting it on, or in, the scene's other thing."""
    return Wording(
        instructions=instructions,
        plans=(
            f"The {{target}} lies {{side}}, {{depth}}; pick it up and put it {on} the {{other}}.",
            f"Get the fingers around the {{target}} {{side}}, lift it and let it go {on} the {{other}}.",
            f"First grasp the {thing}, {{side}} and {{depth}}, then carry it over the {{other}} and set it down.",
        ),
        subtasks={
            "approach": ("Move above the {target}, {where}.", "Bring the open gripper over the {target}, {where}."),
            "descend": ("Lower the open fingers around the {target}.", "Go straight down to the {target}."),
            "grasp": ("Close the fingers on the {target}.", "Grasp the {target}."),
            "lift": ("Lift the {target} off the table.", "Raise the {target}."),
            "carry": ("Carry the {target} over the {other}, {beyond}.", "Bring the {target} to the {other}, {beyond}."),
            "place": (f"Lower the {{target}} to set it down {on} the {{other}}.", "Go down onto the {other}."),
            "release": ("Open the fingers to let go of the {target}.", "Release the {target}."),
            "retreat": ("Move the hand up and away.", "Rise, the {target} is where it belongs."),
        },
    )


WORDINGS: Mapping[str, Wording] = {
    **{task: _of_metaworld(task) for task in TASKS},
    "widowx_carrot_on_plate": _put(
        "carrot",
        ("put carrot on plate", "Place the carrot on the plate.", "Pick up the carrot and put it on the plate."),
    ),
    "widowx_stack_cube": _put(
        "block",
        (
            "stack the green block on the yellow block",
            "Put the green block on top of the yellow one.",
            "Build a tower with the green block on the yellow block.",
        ),
    ),
    "widowx_spoon_on_towel": _put(
        "spoon",
        ("put the spoon on the towel", "Lay the spoon on the towel.", "Move the spoon onto the blue towel."),
    ),
    "widowx_put_eggplant_in_basket": _put(
        "eggplant",
        ("put eggplant into yellow basket", "Place the eggplant in the basket."),
        on="in",
    ),
}
