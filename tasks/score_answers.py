"""Scores answers that are there already, and puts the benchmarks of a policy together."""

from __future__ import annotations

import json

from dualvla_core.evaluation.benchmarks import overview
from dualvla_core.evaluation.benchmarks.config import ScoringConfig
from dualvla_core.evaluation.benchmarks.rules.judged import Judge, read_grade
from dualvla_core.evaluation.benchmarks.scoring import score_predictions
from dualvla_core.params import Summary
from infra.digests import digest_json
from infra.judge import open_grader
from infra.manifest import ArtifactRef
from infra.object_store import MissingObjectError, ObjectStore
from infra.settings import Settings
from tasks.stage import Job, RunContext, Work, stage


class RememberedJudge:
    """A judge that is asked for a grade once: grades are kept in the store, failures are not.

    So a score that a failing judge left incomplete costs only what is missing when it is forced.
    """

    def __init__(self, judge: Judge, model: str, store: ObjectStore) -> None:
        self._judge, self._model, self._store = judge, model, store

    def complete(self, prompt: str, temperature: float) -> str:
        """See `Judge.complete`."""
        name = f"memo/grades/{digest_json([self._model, prompt, temperature])}.json"
        try:
            return str(json.loads(self._store.get(name)))
        except MissingObjectError:
            reply = self._judge.complete(prompt, temperature)
        if read_grade(reply) is not None:
            self._store.put(name, json.dumps(reply).encode())
        return reply


@stage("score_answers", version=1)
def score_answers(_run: RunContext, config: ScoringConfig, questions: ArtifactRef, predictions: ArtifactRef) -> Work:
    """Scores by the benchmark's rule, for every group; no policy is asked."""
    endpoint = None if config.judge is None else open_grader(Settings(), config.judge.model)

    def body(job: Job) -> Summary:
        judge = None
        if endpoint is not None and config.judge is not None:
            judge = RememberedJudge(endpoint, config.judge.model, job.store.objects)
        folders = job.store.folder(questions), job.store.folder(predictions)
        return score_predictions(config, *folders, job.output, judge, job.progress)

    return Work(
        params=config.model_dump(mode="json"),
        inputs={"questions": questions, "predictions": predictions},
        facts={"judge": "none" if endpoint is None else "asked"},  # without one everything is missing
        body=body,
    )


@stage("summarise_benchmarks", version=1)
def summarise_benchmarks(_run: RunContext, names: tuple[str, ...], *scores: ArtifactRef) -> Work:
    """One table of all benchmarks of a policy, and the paper's mean of eight where it can be had."""

    def body(job: Job) -> Summary:
        folders = [(name, job.store.folder(ref)) for name, ref in zip(names, scores, strict=True)]
        return overview.summarise_benchmarks(folders, job.output)

    return Work(params={"names": list(names)}, inputs={"scores": scores}, body=body)
