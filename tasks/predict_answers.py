"""Asks a policy the questions of a benchmark; its answers are kept and scored elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping

from dualvla_core.evaluation.benchmarks.config import GenerationConfig
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from infra.object_store import ObjectStore
from tasks.stage import Job, RunContext, Work, open_artifacts, stage


class UnfinishedAnswers:
    """Answers in the object store, an object a batch, for whichever machine continues.

    Each attempt writes into its own folder and reads those of all: greedy answers are the same whoever gave them.
    """

    def __init__(self, store: ObjectStore, key: str, attempt: str) -> None:
        self._store, self._key, self._attempt = store, key, attempt
        self._saved = 0

    def load(self) -> dict[str, str]:
        """The answers of every attempt, by the index of their question."""
        found: dict[str, str] = {}
        for name in _objects(self._store, self._key):
            found |= json.loads(self._store.get(name))
        return found

    def save(self, answers: Mapping[str, str]) -> None:
        """Write one batch."""
        self._saved += 1
        name = f"work/{self._key}/{self._attempt}/answers-{self._saved:06d}.json"
        self._store.put(name, json.dumps(dict(answers), ensure_ascii=False).encode())


def discard_answers(store: ObjectStore, key: str) -> None:
    """Remove what was kept while the work was unfinished."""
    for name in _objects(store, key):
        store.delete(name)


def _objects(store: ObjectStore, key: str) -> list[str]:
    names = (info.key for info in store.list(f"work/{key}/"))
    return [name for name in names if "/answers-" in name]


@stage("predict_answers", version=1)
def predict_answers(
    run: RunContext, config: GenerationConfig, policy: ArtifactRef, questions: ArtifactRef, batch_size: int
) -> Work:
    """The policy's greedy answers; what was answered before an interruption is not asked again."""

    def body(job: Job) -> Summary:
        from dualvla_core.evaluation.benchmarks.generation import predict_answers as predict  # noqa: PLC0415
        from dualvla_core.models.policy import load_policy  # noqa: PLC0415 - torch is an extra

        return predict(
            config,
            job.store.folder(questions),
            load_policy(str(job.store.folder(policy))),
            job.output,
            UnfinishedAnswers(job.store.objects, job.key, job.attempt),
            batch_size=batch_size,
            progress=job.progress,
        )

    return Work(
        params=config.model_dump(mode="json"),
        inputs={"policy": policy, "questions": questions},
        body=body,
        committed=lambda ref: discard_answers(open_artifacts(run).objects, ref.key),
    )
