"""Scores event boundaries in each segment's video: the scene layer."""

from __future__ import annotations

from dualvla_core.events import detect_event_boundaries as detect
from dualvla_core.events.config import EventsConfig
from infra.manifest import ArtifactRef
from infra.worker_process import run_in_process
from tasks.stage import RunContext, Work, stage


@stage("detect_event_boundaries", version=1)
def detect_event_boundaries(_run: RunContext, config: EventsConfig, segment: ArtifactRef) -> Work:
    """An event-boundary score for every frame of a segment."""
    return Work(
        params=config.model_dump(mode="json"),
        inputs={"segment": segment},
        body=lambda job: run_in_process(detect, config, job.store.folder(segment), job.output, progress=job.progress),
    )
