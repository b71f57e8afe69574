"""Every sentence that instructs an episode or narrates it, as templates over the scene.

Placeholders: ``{target}`` and ``{other}`` are colour and name of the scene's things; ``{side}`` and ``{depth}`` say
where the task's subject stands on the table, ``{height}`` how high; ``{where}`` says where the target is as seen from
the gripper when the phase begins, ``{beyond}`` where the other thing is. Directions are the robot's own (see
`environment`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wording:
    """The alternatives a task's episodes choose from; subtasks by phase."""

    instructions: Sequence[str]
    plans: Sequence[str]
    subtasks: Mapping[str, Sequence[str]]


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


_DONE = ("The task is done.", "Nothing is left to do.")

WORDINGS: Mapping[str, Wording] = {
    "reach": Wording(
        instructions=(
            "Reach the red ball.",
            "Move the gripper to the red ball.",
            "Touch the floating red ball with the gripper.",
            "Bring your hand to the red target.",
            "Go to the red ball and stay there.",
        ),
        plans=(
            "The {target} floats {height} {side}, {depth}; move the open gripper straight to it and leave the {other} "
            "alone.",
            "Go to the {target}, which hangs {height} {side}, {depth}, and stop there.",
            "Ignore the {other} on the table and bring the finger tips to the {target} {side}, {height} and {depth}.",
        ),
        subtasks={
            "approach": ("Head for the {target}, {where}.", "Move towards the {target}, which is {where}."),
            "align": (
                "Slow down and centre the fingers on the {target}.",
                "Cover the last centimetres to the {target}.",
            ),
            "hold": ("The fingers are at the {target}, the task is done.", *_DONE),
        },
    ),
    "drawer-open": Wording(
        instructions=(
            "Open the drawer.",
            "Pull the green drawer open.",
            "Grab the white handle and pull the drawer out.",
            "Slide the drawer towards you.",
            "Open the green drawer by its handle.",
        ),
        plans=(
            "The {other} stands {side}, {depth}; go above its {target}, lower the fingers behind it and pull it out.",
            "Hook the {target} of the {other} {side} from above, then draw it back towards the base.",
            "First get over the {target}, then down behind it, then pull: the {other} is {side}, {depth}.",
        ),
        subtasks={
            "approach": ("Move above the {target}, {where}.", "Get over the {target} of the {other}, {where}."),
            "align": ("Lower the open fingers onto the {target}, {where}.", "Go down over the {target}, {where}."),
            "contact": ("Hook the {target} with the fingers.", "Bring the fingers behind the {target}."),
            "pull": ("Pull the {target} back to open the {other}.", "Drag the {other} open towards the base."),
            "hold": ("The {other} is open, the task is done.", *_DONE),
        },
    ),
    "door-open": Wording(
        instructions=(
            "Open the door.",
            "Swing the grey door open.",
            "Pull the door open by its handle.",
            "Open the dark cabinet.",
            "Use the grey handle to open the door.",
        ),
        plans=(
            "The cabinet with the {other} stands {side}, {depth}; reach over the {target}, drop beside it and swing "
            "the {other} open to the left.",
            "Get the closed fingers to the far side of the {target}, then sweep it back and to the left.",
            "Go around the {target} from above, then drag the {other} open: it hangs {side}, {depth}.",
        ),
        subtasks={
            "approach": ("Move over the {target}, {where}.", "Lift the hand and go to the {target}, {where}."),
            "align": ("Drop down beside the {target}, {where}.", "Lower the hand to the {target}, {where}."),
            "contact": ("Press against the {target}.", "Bring the fingers against the {target}."),
            "pull": ("Swing the {other} open to the left.", "Drag the {target} back and to the left."),
            "hold": ("The {other} is open, the task is done.", *_DONE),
        },
    ),
    "button-press-topdown": Wording(
        instructions=(
            "Press the button.",
            "Push the red button down.",
            "Press the red button from above.",
            "Hit the button on top of the yellow box.",
            "Push down on the button of the box.",
        ),
        plans=(
            "The {target} sits on the {other} {side}, {depth}; rise above it, then press straight down.",
            "Close the fingers, come over the {target} {side} and push it into the {other}.",
            "First get above the {target} of the {other}, {side} and {depth}, then push down.",
        ),
        subtasks={
            "approach": ("Come above the {target}, {where}.", "Lift the hand and bring it over the {target}, {where}."),
            "align": ("Go straight down onto the {target}.", "Descend to the {target} just below."),
            "press": ("Push the {target} down into the {other}.", "Keep pressing the {target} down."),
            "hold": ("The {target} is pressed, the task is done.", *_DONE),
        },
    ),
    "drawer-close": Wording(
        instructions=(
            "Close the drawer.",
            "Push the green drawer shut.",
            "Shut the drawer.",
            "Slide the drawer back in.",
            "Push the white handle until the drawer is closed.",
        ),
        plans=(
            "The {other} stands open {side}, {depth}; rise over it, come down in front of the {target} and push it in.",
            "Go up and around to the front of the {target}, then push the {other} shut, away from the base.",
            "The hand is above the open {other} {side}: lift it, lower it before the {target} and push forward.",
        ),
        subtasks={
            "rise": ("Lift the hand clear of the open {other}.", "Rise above the open {other}, closing the fingers."),
            "approach": ("Come back over the {target}, {where}.", "Move to the near side of the {target}, {where}."),
            "align": ("Lower the hand in front of the {target}.", "Go down before the {target}, which is {where}."),
            "contact": ("Bring the fingers against the {target}.", "Move forward until the {target} is touched."),
            "push": ("Push the {target} forward to shut the {other}.", "Slide the {other} in, away from the base."),
            "hold": ("The {other} is closed, the task is done.", *_DONE),
        },
    ),
    "window-open": Wording(
        instructions=(
            "Open the window.",
            "Slide the window open.",
            "Push the white handle to open the window.",
            "Open the brown window by its handle.",
            "Slide the window pane to the right.",
        ),
        plans=(
            "The {other} stands {side}, {depth}; come down on the left of its {target} and slide it to the right.",
            "Get the fingers beside the {target} of the {other} {side}, then push it to the right.",
            "Go above the {target}, down to its left, then slide the {other} open: it is {side}, {depth}.",
        ),
        subtasks={
            "approach": ("Move above the {target}, {where}.", "Get over the left of the {target}, {where}."),
            "align": ("Lower the hand beside the {target}, {where}.", "Go down on the left of the {target}, {where}."),
            "contact": ("Bring the fingers against the {target}.", "Touch the {target} from the left."),
            "slide": ("Push the {target} to the right to open the {other}.", "Slide the {other} open to the right."),
            "hold": ("The {other} is open, the task is done.", *_DONE),
        },
    ),
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
