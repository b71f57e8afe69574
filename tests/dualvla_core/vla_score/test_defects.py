from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.evaluation.trajectory import Frame, Trajectory
from dualvla_core.vla_score.defects import (
    DEFECTS,
    fail,
    go_back_and_forth,
    name_another_object,
    plant_all,
    shuffle_reasoning,
    wait_first,
)

MakeTrajectory = Callable[..., Trajectory]
SAID = [
    (0, "Go to the red ball."),
    (20, "Slow down at the ball."),
    (40, "Touch the red ball."),
    (50, "The task is done."),
]


def drawn() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def clean(trajectory: MakeTrajectory) -> Trajectory:
    """Sixty steps to the right, four texts, an image every ten steps."""
    made = trajectory(np.outer(np.linspace(0, 0.3, 61), [1, 0, 0]), SAID)
    frames = tuple(Frame(step, bytes([step])) for step in range(0, 61, 10))
    return replace(made, frames=frames, objects={"ball": np.tile(np.arange(61.0)[:, None], 3).astype(np.float32)})


@pytest.mark.parametrize(("severity", "moved"), [(0.3, 2), (0.6, 2), (0.75, 3), (1.0, 4)])
def test_shuffling_moves_a_share_of_the_texts_and_nothing_else(clean: Trajectory, severity: float, moved: int) -> None:
    broken = shuffle_reasoning(clean, severity, drawn())
    assert sorted(said.text for said in broken.reasoning) == sorted(said.text for said in clean.reasoning)
    assert [said.step for said in broken.reasoning] == [0, 20, 40, 50]
    changed = [one != other for one, other in zip(broken.reasoning, clean.reasoning, strict=True)]
    assert sum(changed) == moved
    assert broken.states is clean.states
    assert broken.success


def test_another_object_replaces_the_things_of_the_scene(clean: Trajectory) -> None:
    broken = name_another_object(clean, 1.0, drawn())
    words = " ".join(said.text for said in broken.reasoning)
    assert "ball" not in words
    assert any(thing in words for thing in ("handle", "button"))
    assert broken.reasoning[3].text == "The task is done."
    assert name_another_object(clean, 0.0, drawn()).reasoning == clean.reasoning


def test_going_back_and_forth_by_hand(clean: Trajectory) -> None:
    broken = go_back_and_forth(clean, 0.5, drawn())
    # turns near 15, 30 and 45 lie at the texts of 20, 20 or 40, and 40 or 50; ten steps back and ten forth at each
    hand = np.round(broken.states[:, 0] / 0.005).astype(int).tolist()
    assert hand[:41] == [*range(21), *range(19, 9, -1), *range(11, 21)]
    assert hand[-1] == 60
    assert np.abs(np.diff(hand)).max() == 1
    assert [said.text for said in broken.reasoning] == [text for _, text in SAID]
    assert all(hand[said.step] == before for said, (before, _) in zip(broken.reasoning, SAID, strict=True))
    assert broken.reasoning[1].step == 40  # said after having come again
    assert broken.frames[-1] == Frame(broken.steps, bytes([60]))


def test_an_idle_prefix_by_hand(clean: Trajectory) -> None:
    broken = wait_first(clean, 0.5, drawn())
    assert broken.steps == 90
    assert np.ptp(broken.states[:31, 0]) == 0
    assert (broken.actions[:30, :3] == 0).all()
    assert broken.states[30:].tolist() == clean.states.tolist()
    assert [said.step for said in broken.reasoning] == [30, 50, 70, 80]
    assert [frame.image[0] for frame in broken.frames] == [
        0,
        0,
        0,
        10,
        30,
        40,
        60,
    ]  # ties: the earlier


def test_a_failed_episode_ends_early(clean: Trajectory) -> None:
    broken = fail(clean, 0.2, drawn())
    assert not broken.success
    assert broken.steps == 48
    assert broken.states.tolist() == clean.states[:49].tolist()
    assert [said.step for said in broken.reasoning] == [0, 20, 40]
    assert fail(clean, 0.0, drawn()).steps == 56  # never the last steps, in which it was solved


def test_a_silent_trajectory_can_be_broken_as_well(trajectory: MakeTrajectory) -> None:
    silent = trajectory(np.outer(np.linspace(0, 0.3, 61), [1, 0, 0]), policy_type="specialist")
    for defect in DEFECTS:
        if defect.plant is not None:
            assert defect.plant(silent, 1.0, drawn()).reasoning == ()


def test_every_defect_is_planted_at_every_severity(clean: Trajectory) -> None:
    planted = list(plant_all([clean, clean], {0.25: [clean, clean], 1.0: [clean, clean]}))
    assert len(planted) == 2 * (5 * 3 + 2)
    assert {each.defect for each in planted} == {defect.name for defect in DEFECTS}
    assert all(each.clean is clean for each in planted)
    assert {each.severity for each in planted if each.defect == "jitter"} == {0.25, 1.0}


@settings(deadline=None, max_examples=30)
@given(number=st.integers(0, len(DEFECTS) - 1), severity=st.floats(0.05, 1), seed=st.integers(0, 99))
def test_a_broken_trajectory_is_still_one(trajectory: MakeTrajectory, number: int, severity: float, seed: int) -> None:
    plant = DEFECTS[number].plant
    if plant is None:
        return
    made = trajectory(np.random.default_rng(seed).normal(0, 0.01, (40, 3)).cumsum(axis=0), SAID[:2])
    broken = plant(made, severity, np.random.default_rng(seed))
    assert len(broken.states) == broken.steps + 1
    assert all(0 <= said.step < broken.steps for said in broken.reasoning)
    steps = [said.step for said in broken.reasoning]
    assert steps == sorted(set(steps))
