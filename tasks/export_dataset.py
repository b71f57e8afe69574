"""Exports the pruned dataset for other trainers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from dualvla_core.exports import ExportConfig, PrunedSegment
from dualvla_core.exports import export_keep_ranges as keep_ranges
from dualvla_core.exports import export_lerobot as lerobot
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, StageTask, Work, stage

Segments: TypeAlias = tuple[ArtifactRef, ...]


@stage("export_lerobot", version=1)
def export_lerobot(
    _run: RunContext, config: ExportConfig, collection: ArtifactRef, segments: Segments, decisions: Segments
) -> Work:
    """A LeRobot v3.0 dataset of every frame and action, with reasoning where pruning kept it."""
    return _export(lerobot, config, collection, segments, decisions)


@stage("export_keep_ranges", version=1)
def export_keep_ranges(
    _run: RunContext, config: ExportConfig, collection: ArtifactRef, segments: Segments, decisions: Segments
) -> Work:
    """``keep_ranges.json``: per episode the ranges of frames that keep their reasoning."""
    return _export(keep_ranges, config, collection, segments, decisions)


EXPORTS: dict[str, StageTask] = {"lerobot": export_lerobot, "keep_ranges": export_keep_ranges}


def _export(
    export: Callable[..., Summary],
    config: ExportConfig,
    collection: ArtifactRef,
    segments: Segments,
    decisions: Segments,
) -> Work:
    def body(job: Job) -> Summary:
        folder: Callable[[ArtifactRef], Path] = job.store.folder
        pruned = [
            PrunedSegment(segment.key, folder(segment), folder(verdicts))
            for segment, verdicts in zip(segments, decisions, strict=True)
        ]
        return export(config, folder(collection), pruned, job.output, job.progress)

    return Work(
        params=config.model_dump(mode="json"),
        inputs={"collection": collection, "segments": segments, "decisions": decisions},
        body=body,
    )
