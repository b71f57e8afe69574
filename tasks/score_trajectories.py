"""Scores every rollout: the VLA Score, or the rule judge's stand-in for it."""

from __future__ import annotations

from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.params import Summary
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.stage import score_trajectories as score
from infra.manifest import ArtifactRef
from tasks.judging import judge_facts, judge_inputs, opened, read_agreement, tell_bill
from tasks.stage import Job, RunContext, Work, stage


@stage("score_trajectories", version=2, limit="judge")
def score_trajectories(run: RunContext, config: ScoreConfig, rollouts: ArtifactRef, policy_type: PolicyType) -> Work:
    """DualVLA Eq. 8 per trajectory, by the branch of the recorded policy type."""
    looked_into = judge_inputs(run, config)

    def body(job: Job) -> Summary:
        judge = opened(job, config)
        try:
            return score(
                config,
                job.store.folder(rollouts),
                policy_type,
                judge.judge,
                job.output,
                job.progress,
                workers=judge.workers,
                agreement=read_agreement(job.store, looked_into.get("agreement")),
            )
        finally:
            tell_bill(judge)

    return Work(
        params={**config.keyed(), "policy_type": policy_type},
        inputs={"rollouts": rollouts, **looked_into},
        facts=judge_facts(config),
        body=body,
    )
