"""An offline judge: rules over the recorded trajectory, a stand-in for the paper's GPT-4o judge and no imitation of it.

It is deterministic, needs no network and explains every number, which makes it fit for tests, demos and comparisons of
policies with one another. Its scores must not be set beside published VLA Scores. What it cannot see:

- images and objects: it does not know whether the hand went to the right thing, only whether it went somewhere in a
  determined way. Intention is therefore about the course of the motion, and the success indicator is left to Eq. 8;
- the truth of a statement about the scene: reasoning is judged by form, subject and course, not by correctness;
- statements outside the motion vocabulary of the recorded demonstrations: they do not count for alignment.

States are those of the simulated rollouts: x y z of the hand (m) first, the gripper's opening last.
"""

from __future__ import annotations

import numpy as np

from dualvla_core.evaluation.policy import REASONING_POLICIES
from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.judge import Verdict
from dualvla_core.vla_score.measure import Measure, clip, explain, grade
from dualvla_core.vla_score.motion import Motion, action_measures, intention_measures
from dualvla_core.vla_score.speech import StatedMotion, reasoning_measures, stated_motions

_ALONG = 0.8  # cosine between stated and made motion that counts as full agreement: words are coarse


class RuleJudge:
    """Implements `Judge` by the rules of this module."""

    def __init__(self, scales: RuleJudgeConfig) -> None:
        self._scales = scales

    def judge(self, trajectory: Trajectory) -> Verdict:
        """See `Judge.judge`."""
        states = trajectory.states.astype(np.float64)
        motion = Motion(states[:, :3], states[:, -1])
        action = action_measures(motion, trajectory.max_steps, self._scales)
        intention = intention_measures(motion, self._scales)
        still = "the hand hardly moved"
        thoughts = [explain("Action", action, still), explain("Intention", intention, still)]
        reasoning: list[Measure] = []
        alignment: list[Measure] = []
        reasons = trajectory.policy_type in REASONING_POLICIES
        if reasons:
            reasoning = reasoning_measures([said.text for said in trajectory.reasoning], trajectory.instruction)
            alignment = self._alignment(trajectory, motion)
            thoughts.append(explain("Reasoning", reasoning, "the policy said nothing"))
            thoughts.append(explain("Alignment", alignment, "no text states a motion that could be checked"))
        return Verdict(
            action=grade(action),
            intention=grade(intention),
            reasoning=grade(reasoning) if reasons else None,
            alignment=grade(alignment) if reasons else None,
            thought=" ".join(thoughts),
        )

    def _alignment(self, trajectory: Trajectory, motion: Motion) -> list[Measure]:
        """Agreement of the motions stated with those made in the steps that follow, over the texts that state one."""
        agreements = []
        for said in trajectory.reasoning:
            stated = stated_motions(said.text)
            if stated and said.step < trajectory.steps:
                agreements.append(np.mean([self._agreement(each, motion, said.step) for each in stated]))
        if not agreements:
            return []
        why = f"{len(agreements)} of {len(trajectory.reasoning)} texts state a motion that can be checked"
        return [Measure("agreement", float(np.mean(agreements)), 1, why)]

    def _agreement(self, stated: StatedMotion, motion: Motion, step: int) -> float:
        """How far one stated motion was made, in [0, 1]: the hand's part and, if fingers are named, theirs."""
        scales = self._scales
        end = min(step + scales.motion_window, len(motion.positions) - 1)
        moved = motion.positions[end] - motion.positions[step]
        distance = float(np.linalg.norm(moved))
        if not stated.direction.any():
            hand = clip(2 - distance / scales.still)
        elif distance < scales.still:
            hand = 0.0
        else:
            hand = clip(float(stated.direction @ moved) / distance / _ALONG)
        if stated.fingers is None:
            return hand
        change = float(motion.opening[end] - motion.opening[step])
        return (hand + clip((change if stated.fingers == "open" else -change) / scales.fingers)) / 2
