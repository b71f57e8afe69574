"""Scores answers that are there already, and puts the benchmarks of a policy together."""

from __future__ import annotations

from dualvla_core.evaluation.benchmarks import overview
from dualvla_core.evaluation.benchmarks.config import ScoringConfig
from dualvla_core.evaluation.benchmarks.scoring import score_predictions
from dualvla_core.params import Summary
from infra.chat_completions import configured_judge
from infra.manifest import ArtifactRef
from infra.settings import Settings
from tasks.stage import Job, RunContext, Work, stage


@stage("score_answers", version=1)
def score_answers(_run: RunContext, config: ScoringConfig, questions: ArtifactRef, predictions: ArtifactRef) -> Work:
    """Scores by the benchmark's rule, for every group; no policy is asked."""

    def body(job: Job) -> Summary:
        judge = configured_judge(Settings(), config.judge.model) if config.judge else None
        folders = job.store.folder(questions), job.store.folder(predictions)
        return score_predictions(config, *folders, job.output, judge, job.progress)

    return Work(
        params=config.model_dump(mode="json"), inputs={"questions": questions, "predictions": predictions}, body=body
    )


@stage("summarise_benchmarks", version=1)
def summarise_benchmarks(_run: RunContext, names: tuple[str, ...], *scores: ArtifactRef) -> Work:
    """One table of all benchmarks of a policy, and the paper's mean of eight where it can be had."""

    def body(job: Job) -> Summary:
        folders = [(name, job.store.folder(ref)) for name, ref in zip(names, scores, strict=True)]
        return overview.summarise_benchmarks(folders, job.output)

    return Work(params={"names": list(names)}, inputs={"scores": scores}, body=body)
