"""Makes and reviews the judge's knowledge base."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.params import Summary
from dualvla_core.vla_score.config import ScoreConfig
from dualvla_core.vla_score.knowledge import KnowledgeBuildConfig, build_knowledge_base, review_knowledge_base
from dualvla_core.vla_score.review_page import write_review_page
from infra.digests import digest_file
from infra.manifest import ArtifactRef
from tasks.judging import judge_facts, judge_inputs, opened, tell_bill
from tasks.stage import Job, RunContext, Work, stage


@stage("build_knowledge_base", version=1)
def build_base(
    run: RunContext, config: KnowledgeBuildConfig, score: ScoreConfig, rollouts: tuple[ArtifactRef, ...]
) -> Work:
    """Diverse attempts with proposed grades, as tables, a CSV to fill in, and a page of the images beside it."""

    def body(job: Job) -> Summary:
        judge = opened(job, score)
        sources = [job.store.folder(ref) for ref in rollouts]
        try:
            summary = build_knowledge_base(
                config, sources, judge.judge, job.output, job.progress, workers=judge.workers
            )
        finally:
            tell_bill(judge)
        write_review_page(job.output, job.output)
        return summary

    return Work(
        params={**config.model_dump(mode="json"), "judge": score.keyed()},
        inputs={"rollouts": rollouts, **judge_inputs(run, score)},
        facts=judge_facts(score),
        body=body,
    )


@stage("review_knowledge_base", version=1)
def review_base(_run: RunContext, base: ArtifactRef, review: str) -> Work:
    """The base with a person's corrections."""

    def body(job: Job) -> Summary:
        summary = review_knowledge_base(job.store.folder(base), Path(review), job.output)
        write_review_page(job.output, job.output)
        return summary

    return Work(params={}, inputs={"base": base}, facts={"review": digest_file(Path(review))}, body=body)
