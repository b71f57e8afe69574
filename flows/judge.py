"""Judging apart from training: scoring rollouts again, probing a judge, measuring agreement, the knowledge base."""

from __future__ import annotations

from itertools import repeat

from prefect import flow

from dualvla_core.pipeline_config import PipelineConfig
from dualvla_core.vla_score.config import ProbeConfig
from dualvla_core.vla_score.experts import ExpertsConfig
from dualvla_core.vla_score.knowledge import KnowledgeBuildConfig
from flows.demonstrations import first
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.build_knowledge_base import build_base, review_base
from tasks.measure_agreement import measure_agreement
from tasks.probe_judge import probe_judge, record_expert_trajectories
from tasks.publish_scores import publish_scores
from tasks.score_trajectories import score_trajectories
from tasks.stage import Missing, RunContext, collected, open_artifacts

STAGES = (record_expert_trajectories, probe_judge, measure_agreement, build_base, review_base, publish_scores)
"""The stages of judging that training does not use."""


@flow(name="judge-score", persist_result=False)
def score(config: PipelineConfig, run: RunContext, rollouts: tuple[ArtifactRef, ...]) -> ArtifactRef | Missing:
    """Score rollouts that were played before, and report on all of them."""
    with recorded("judge-score", config, run) as context:
        store = open_artifacts(context)
        kinds = [store.manifest(ref).request.params["policy_type"] for ref in rollouts]
        judged = collected(score_trajectories.map(context, repeat(config.evaluation.score), rollouts, kinds))
        if isinstance(judged, Missing):
            return judged
        names = tuple(
            kind if kinds.count(kind) == 1 else f"{kind}-{ref.digest[:6]}"
            for kind, ref in zip(kinds, rollouts, strict=True)
        )
        found, bootstrap = {"scores": judged, "rollouts": rollouts}, config.evaluation.score.bootstrap
        return first(collected([publish_scores.submit("scores", context, bootstrap, names, found)]))


@flow(name="judge-probe", persist_result=False)
def probe(
    config: PipelineConfig, run: RunContext, experts: ExpertsConfig, limits: ProbeConfig
) -> ArtifactRef | Missing:
    """Record expert episodes, plant every defect in them, and see what the configured judge makes of it."""
    recording = record_expert_trajectories.submit("experts", run, experts)
    return first(collected([probe_judge.submit("probe", run, config.evaluation.score, limits, experts, recording)]))


@flow(name="judge-agreement", persist_result=False)
def agreement(
    config: PipelineConfig, run: RunContext, scores: ArtifactRef, human: str | None, other: ArtifactRef | None
) -> ArtifactRef | Missing:
    """Compare a judge's verdicts with the people's in the CSV ``human``, or with ``other`` scores."""
    bootstrap = config.evaluation.score.bootstrap
    measured = measure_agreement.submit("agreement", run, bootstrap, scores, other, human)
    return first(collected([measured]))


@flow(name="kb-build", persist_result=False)
def build_knowledge(
    config: PipelineConfig, run: RunContext, rollouts: tuple[ArtifactRef, ...], size: KnowledgeBuildConfig
) -> ArtifactRef | Missing:
    """Choose diverse attempts and have the configured judge propose grades."""
    return first(collected([build_base.submit("knowledge base", run, size, config.evaluation.score, rollouts)]))


@flow(name="kb-review", persist_result=False)
def review_knowledge(
    config: PipelineConfig,  # noqa: ARG001 - every flow is run with one
    run: RunContext,
    base: ArtifactRef,
    review: str,
) -> ArtifactRef | Missing:
    """Apply a person's corrections."""
    return first(collected([review_base.submit("review", run, base, review)]))
