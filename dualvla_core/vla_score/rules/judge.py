"""An offline judge: rules over the recorded trajectory, a stand-in for the paper's GPT-4o judge and no imitation of it.

It is deterministic, needs no network and explains every number, which makes it fit for tests, demos and for comparing
policies with one another. Its result is a *rule score (proxy)* and must not be set beside published VLA Scores. What it
cannot see:

- images: it knows where things are only where a simulator told; elsewhere intention is about the course of the motion;
- statements outside the vocabulary of the recorded demonstrations (`statements`): they are neither true nor false;
- tasks other than the six simulated ones: progress and things are not judged there.

Speaking rarely costs nothing: what was said last stands until something else is said. Saying nothing at all in a whole
episode is no evidence of reasoning or alignment, hence 0 in both (decision 9).

States are those of the simulated rollouts: x y z of the hand (m) first, the gripper's opening last.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from dualvla_core.evaluation.policy import REASONING_POLICIES
from dualvla_core.evaluation.trajectory import Trajectory
from dualvla_core.vla_score.config import RuleJudgeConfig
from dualvla_core.vla_score.judge import Dimension, Evidence, JudgeIdentity, Judgement, Verdict
from dualvla_core.vla_score.rules.alignment import alignment_measures
from dualvla_core.vla_score.rules.goal import goal_measures
from dualvla_core.vla_score.rules.measure import Measure, explain, grade
from dualvla_core.vla_score.rules.motion import Motion, action_measures, course_measures
from dualvla_core.vla_score.rules.reasoning import reasoning_measures

RULES_VERSION = "rules 3"
"""Raised whenever a rule changes."""

_NOTHING: dict[Dimension, str] = {
    "action": "the hand hardly moved",
    "intention": "the hand hardly moved",
    "reasoning": "the policy said nothing",
    "alignment": "no text states anything that could be checked",
}


class RuleJudge:
    """Implements `Judge` by the rules of this package."""

    def __init__(self, scales: RuleJudgeConfig) -> None:
        self._scales = scales
        digest = hashlib.sha256(scales.model_dump_json().encode()).hexdigest()[:12]
        self.identity = JudgeIdentity(judge="rules", model=RULES_VERSION, prompt="", settings=digest)

    def judge(self, trajectory: Trajectory) -> Judgement:
        """See `Judge.judge`; every dimension comes with its evidence."""
        states = trajectory.states.astype(np.float64)
        motion = Motion(states[:, :3], states[:, -1])
        found: dict[Dimension, list[Measure]] = {
            "action": action_measures(motion, trajectory.max_steps, self._scales),
            "intention": self._intention(trajectory, motion),
        }
        if trajectory.policy_type in REASONING_POLICIES:
            found["reasoning"] = reasoning_measures(trajectory)
            found["alignment"] = alignment_measures(trajectory, motion, self._scales)
        grades = {dimension: grade(measures) for dimension, measures in found.items()}
        verdict = Verdict(
            action=grades["action"],
            intention=grades["intention"],
            reasoning=grades.get("reasoning"),
            alignment=grades.get("alignment"),
            thought=" ".join(explain(name.title(), measures, _NOTHING[name]) for name, measures in found.items()),
            evidence=tuple(each for name, measures in found.items() for each in _evidence(name, measures)),
        )
        return Judgement(verdicts=(verdict,))

    def _intention(self, trajectory: Trajectory, motion: Motion) -> list[Measure]:
        if not motion.moves:
            return []
        return goal_measures(trajectory, self._scales) or course_measures(motion, self._scales)


def _evidence(dimension: Dimension, measures: Sequence[Measure]) -> list[Evidence]:
    return [
        Evidence(dimension=dimension, name=each.name, value=each.value, weight=each.weight, why=each.why)
        for each in measures
    ]
