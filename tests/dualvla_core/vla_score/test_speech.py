from __future__ import annotations

import numpy as np
import pytest

from dualvla_core.simulation.wording import WORDINGS
from dualvla_core.vla_score.speech import reasoning_measures, stated_motions

INSTRUCTION = "Open the green drawer by its handle."


def measures(*texts: str) -> dict[str, float]:
    return {each.name: each.value for each in reasoning_measures(texts, INSTRUCTION)}


@pytest.mark.parametrize(
    ("text", "direction", "fingers"),
    [
        ("Move left.", [-1, 0, 0], None),
        ("Move forward and up.", [0, 0.5**0.5, 0.5**0.5], None),
        ("Move right and down, closing the gripper.", [0.5**0.5, 0, -(0.5**0.5)], "close"),
        ("Move back, opening the gripper.", [0, -1, 0], "open"),
        ("Hold still.", [0, 0, 0], None),
        ("Open the gripper.", [0, 0, 0], "open"),
        ("Close the gripper.", [0, 0, 0], "close"),
        ("motion: Move up", [0, 0, 1], None),
    ],
)
def test_the_motions_of_the_narration_are_understood(text: str, direction: list[float], fingers: str | None) -> None:
    (stated,) = stated_motions(text)
    assert stated.direction == pytest.approx(np.array(direction))
    assert stated.fingers == fingers


def test_motions_are_found_among_other_sentences() -> None:
    text = "The drawer stands on the left; go above its handle. Lower the fingers. Move left and down."
    (stated,) = stated_motions(text)
    assert stated.direction == pytest.approx(np.array([-(0.5**0.5), 0, -(0.5**0.5)]))
    assert len(stated_motions("Move up. Close the gripper.")) == 2


def test_plans_and_subtasks_state_no_motion_that_could_be_checked() -> None:
    for wording in WORDINGS.values():
        for text in [*wording.plans, *(each for phase in wording.subtasks.values() for each in phase)]:
            assert stated_motions(text) == [], text


def test_good_reasoning_is_perfect() -> None:
    texts = ("Go to the white handle of the drawer.", "Lower the fingers onto the drawer handle.", "Pull the drawer.")
    assert measures(*texts) == {"form": 1, "subject": 1, "change": 1, "coherence": 1}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Handle.",
        "Go to the drawer handle",
        "go go go go go go go go go go.",
        "Open the drawer. Open the drawer. Open the drawer. Open the drawer.",
        "Go to the drawer \ufffd\ufffd.",
        "Go to the drawer \x00 now.",
        " ".join(["word"] * 121) + ".",
    ],
)
def test_malformed_texts_are_noticed(text: str) -> None:
    assert measures(text)["form"] == 0


def test_a_text_of_several_lines_is_well_formed() -> None:
    assert measures("Go above the drawer.\nLower the fingers onto it.")["form"] == 1


def test_the_subject_is_a_content_word_of_the_instruction() -> None:
    assert measures("Pull the drawer.")["subject"] == 1
    assert measures("Move by it.")["subject"] == 0
    assert measures("Pull the drawer.", "Move left and up.")["subject"] == 0.5


def test_one_text_cannot_show_change_or_coherence() -> None:
    assert set(measures("Pull the drawer.")) == {"form", "subject"}


def test_reasoning_that_never_changes_is_noticed() -> None:
    assert measures(*["Pull the drawer."] * 5)["change"] == 0
    assert measures("Go to the drawer.", "Pull the drawer.")["change"] == 1
    assert measures("Go to the drawer.", "Pull the drawer.", "Pull the drawer.")["change"] == 0.5


def test_coherence_is_what_consecutive_texts_share() -> None:
    # {pull, the, drawer} and {pull, the, handle} share 2 of 4 words
    assert measures("Pull the drawer.", "Pull the handle.")["coherence"] == 1
    assert measures("Pull the drawer.", "Nothing in common here.")["coherence"] == 0
    # one of nine
    few = measures("Pull the green drawer out.", "Then open gripper, the end.")["coherence"]
    assert few == pytest.approx(1 / 9 / 0.2)


def test_silence_gives_no_measure() -> None:
    assert measures() == {}
