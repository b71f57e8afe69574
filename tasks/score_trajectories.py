"""Scores every rollout: the VLA Score."""

from __future__ import annotations

from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.stage import score_trajectories as score
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage


@stage("score_trajectories", version=1, limit="judge")
def score_trajectories(_run: RunContext, config: ScoreConfig, rollouts: ArtifactRef, policy_type: PolicyType) -> Work:
    """DualVLA Eq. 8 per trajectory, by the branch of the recorded policy type."""
    return Work(
        params={**config.model_dump(mode="json"), "policy_type": policy_type},
        inputs={"rollouts": rollouts},
        body=lambda job: score(config, job.store.folder(rollouts), policy_type, job.output, job.progress),
    )
