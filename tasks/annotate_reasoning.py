"""Adds embodied reasoning to decoded demonstrations: from annotation files, or derived from their motion."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from dualvla_core.episodes.annotate import annotate_reasoning as annotate
from dualvla_core.episodes.annotate import annotations_of
from dualvla_core.episodes.annotation_files import read_annotations as read
from dualvla_core.episodes.config import AnnotateConfig
from dualvla_core.errors import DatasetError
from infra.digests import digest_file, digest_json
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, open_artifacts, stage


@stage("read_annotations", version=1)
def read_annotations(_run: RunContext, config: AnnotateConfig, files: tuple[str, ...], scanned: ArtifactRef) -> Work:
    """What annotation files say about the episodes of a dataset, and which of their entries are about none."""
    missing = [file for file in files if not Path(file).is_file()]
    if missing:
        raise DatasetError(f"There is no annotation file {missing[0]!r}; correct dataset.annotations.")
    return Work(
        params={"first_frame": config.first_frame},
        inputs={"scan": scanned},
        facts={"files": digest_json([digest_file(Path(file)) for file in files])},
        body=lambda job: read(config, [Path(file) for file in files], job.store.folder(scanned), job.output),
        provenance={"files": list(files)},
    )


@stage("annotate_reasoning", version=1)
def annotate_reasoning(
    run: RunContext, config: AnnotateConfig, segment: ArtifactRef, annotations: ArtifactRef | None
) -> Work:
    """The reasoning of a segment's frames.

    Of the annotations only those about the segment's own episodes enter the key: new ones about others change nothing.
    """
    store = open_artifacts(run)
    members = pq.read_table(store.folder(segment) / "episodes.parquet", columns=["episode"])["episode"].to_pylist()
    folder = store.folder(annotations) if annotations else None
    said = annotations_of(folder, members)
    return Work(
        params=config.model_dump(mode="json", exclude={"first_frame"}),
        inputs={"segment": segment},
        facts={"annotations": digest_json(said)} if said else {},
        body=lambda job: annotate(config, job.store.folder(segment), folder, job.output, job.progress),
        provenance={"annotations": str(annotations)},
    )
