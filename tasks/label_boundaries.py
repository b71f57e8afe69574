"""Labels event boundaries: by a simulator's phases, or by the user's file."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.errors import ConfigError
from dualvla_core.events.labels import label_boundaries as label
from dualvla_core.params import Summary
from infra.digests import digest_file
from infra.manifest import ArtifactRef
from tasks.dataset import DatasetSource
from tasks.stage import Job, RunContext, Work, stage


@stage("label_boundaries", version=1)
def label_boundaries(_run: RunContext, labels: str | None, dataset: DatasetSource, collection: ArtifactRef) -> Work:
    """The labelled event boundaries of a collection: the simulator's phases, or those in the user's file."""
    if labels is not None and not Path(labels).is_file():
        raise ConfigError(f"There is no file {labels!r} of labelled boundaries; correct events_training.labels.")

    def body(job: Job) -> Summary:
        phases = dataset.folder(job.store) / "labels" / "phases.parquet"
        return label(job.store.folder(collection), phases if labels is None else Path(labels), job.output)

    return Work(
        params={},
        inputs={"collection": collection, **dataset.inputs()},
        facts={} if labels is None else {"labels": digest_file(Path(labels))},
        body=body,
    )
