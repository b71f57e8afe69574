from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.simulation.narration import motion_texts
from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.judge import Judge, Verdict
from dualvla_core.vla_score.rules.judge import RuleJudge

MakeTrajectory = Callable[..., Trajectory]
JUDGE: Judge = RuleJudge(RuleJudgeConfig())
OPPOSITE = {"left": "right", "right": "left", "back": "forward", "forward": "back", "up": "down", "down": "up"}


def errand(steps: int = 30) -> np.ndarray:
    """To the right, then forward, then down, ``steps`` each at 5 mm a step."""
    moves = np.repeat(np.array([[1, 0, 0], [0, 1, 0], [0, 0, -1]]), steps, axis=0) * 0.005
    return np.concatenate([np.zeros((1, 3)), moves.cumsum(axis=0)])


def judged(made: Trajectory) -> tuple[Verdict, int]:
    verdict = JUDGE.judge(made).verdict
    assert verdict.alignment is not None
    return verdict, verdict.alignment


def test_a_specialist_is_judged_by_its_motion_alone(trajectory: MakeTrajectory) -> None:
    verdict = JUDGE.judge(trajectory(errand(), policy_type="specialist")).verdict
    assert verdict.reasoning is None
    assert verdict.alignment is None
    assert verdict.action >= 9
    assert "Alignment" not in verdict.thought


def test_success_is_left_to_the_score(trajectory: MakeTrajectory) -> None:
    said = [(0, "Reach the ball. Move right.")]
    assert JUDGE.judge(trajectory(errand(), said, success=True)) == JUDGE.judge(
        trajectory(errand(), said, success=False)
    )


def test_words_that_are_followed_by_deeds_align(trajectory: MakeTrajectory) -> None:
    said = [(0, "Move right."), (30, "Move forward."), (60, "Move down.")]
    verdict, alignment = judged(trajectory(errand(), said))
    assert alignment == 10
    assert "3 of 3 texts state a motion that can be checked" in verdict.thought


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Move right.", 10),
        ("Move left.", 0),
        ("Move forward.", 0),
        ("Move right and forward.", 9),  # cosine 0.71 of the 0.8 that count as full agreement
        ("Hold still.", 0),  # 4 cm in the window
        ("Close the gripper.", 0),
        ("Move right, closing the gripper.", 5),  # the hand does as said, the fingers do not
        ("Move right. Move left.", 5),
    ],
)
def test_one_stated_motion_by_hand(trajectory: MakeTrajectory, text: str, expected: int) -> None:
    assert judged(trajectory(errand(), [(0, text)]))[1] == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("Close the gripper.", 10), ("Open the gripper.", 5), ("Hold still.", 10), ("Move up.", 0)]
)
def test_fingers_and_stillness(trajectory: MakeTrajectory, text: str, expected: int) -> None:
    opening = np.linspace(1, 0, 17)
    assert judged(trajectory(np.zeros((17, 3)), [(0, text)], opening))[1] == expected


def test_a_text_counts_by_the_steps_that_follow_it(trajectory: MakeTrajectory) -> None:
    assert judged(trajectory(errand(), [(30, "Move right.")]))[1] == 0
    # the second text ends the window of the first, and both lie before the turns
    assert judged(trajectory(errand(), [(15, "Move right."), (30, "Move forward.")]))[1] == 10
    # nothing more is said: the text is followed for three windows, twelve of its steps to the right, twelve forward
    assert judged(trajectory(errand(), [(18, "Move right.")]))[1] == 9  # cosine 0.71 of 0.8


def test_a_sub_task_counts_as_long_as_it_stands(trajectory: MakeTrajectory) -> None:
    verdict, _ = judged(trajectory(errand(), [(0, "Rise."), (80, "Lower the hand.")]))
    aligned = next(each for each in verdict.evidence if each.name == "sub-task")
    assert aligned.value == pytest.approx(10 / 90)  # not one of two


@pytest.mark.parametrize("kept", [1, 2, 3])
def test_key_frames_alone_are_judged_like_every_frame(trajectory: MakeTrajectory, kept: int) -> None:
    """The same true words, said every six steps or only where something new begins."""
    phases = [(0, "Move right."), (30, "Move forward."), (60, "Move down.")]
    dense = [(step, text) for start, text in phases for step in range(start, start + 30, 6)]
    spoken, aligned = judged(trajectory(errand(), dense))
    sparse, also = judged(trajectory(errand(), phases[:kept]))
    assert (also, sparse.reasoning) == (aligned, spoken.reasoning)


def test_texts_without_a_motion_are_not_counted(trajectory: MakeTrajectory) -> None:
    said = [(0, "The ball is far away."), (3, "Move right.")]
    verdict, alignment = judged(trajectory(errand(), said))
    assert alignment == 10
    assert "1 of 2 texts state a motion" in verdict.thought


def test_every_number_comes_with_its_evidence(trajectory: MakeTrajectory) -> None:
    verdict, _ = judged(trajectory(errand(), [(0, "Move right."), (30, "Move forward.")]))
    for dimension in ("action", "intention", "reasoning", "alignment"):
        own = [each for each in verdict.evidence if each.dimension == dimension]
        mean = sum(each.weight * each.value for each in own) / sum(each.weight for each in own)
        assert getattr(verdict, dimension) == int(10 * mean + 0.5)
        assert all(each.why for each in own)


def test_other_scales_are_another_judge() -> None:
    assert JUDGE.identity != RuleJudge(RuleJudgeConfig(still=0.01)).identity
    assert JUDGE.identity == RuleJudge(RuleJudgeConfig()).identity


def test_no_evidence_is_a_zero(trajectory: MakeTrajectory) -> None:
    verdict, alignment = judged(trajectory(errand()))
    assert (verdict.reasoning, alignment) == (0, 0)
    assert "Reasoning 0: the policy said nothing." in verdict.thought
    assert judged(trajectory(errand(), [(0, "The ball is far away.")]))[1] == 0


def test_every_dimension_is_explained(trajectory: MakeTrajectory) -> None:
    verdict, _ = judged(trajectory(errand(), [(0, "Move right.")]))
    for name, value in (
        ("Action", verdict.action),
        ("Intention", verdict.intention),
        ("Reasoning", verdict.reasoning),
        ("Alignment", verdict.alignment),
    ):
        assert f"{name} {value}: " in verdict.thought


def narrated(seed: int, opposite: bool) -> tuple[np.ndarray, list[tuple[int, str]]]:
    """A wandering path, and what the narration of the demonstrations says about it whenever it changes."""
    random = np.random.default_rng(seed)
    targets = random.normal(0, 1, (6, 3))
    moves = np.repeat(targets / np.linalg.norm(targets, axis=1, keepdims=True), 15, axis=0) * 0.004
    positions = np.concatenate([np.zeros((1, 3)), moves.cumsum(axis=0)])
    states = np.hstack([positions, np.zeros((len(positions), 3)), np.ones((len(positions), 1))])
    texts = motion_texts(states.astype(np.float32))
    said = [(step, text) for step, text in enumerate(texts) if step == 0 or text != texts[step - 1]]
    if opposite:
        said = [
            (step, " ".join(OPPOSITE.get(word.rstrip("."), word) for word in text.split()) + ".") for step, text in said
        ]
    return positions, said


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_the_narration_of_a_motion_aligns_and_its_opposite_does_not(trajectory: MakeTrajectory, seed: int) -> None:
    assert judged(trajectory(*narrated(seed, opposite=False)))[1] >= 7
    assert judged(trajectory(*narrated(seed, opposite=True)))[1] <= 1
