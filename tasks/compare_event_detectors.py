"""Compares event detectors with each other and with baselines."""

from __future__ import annotations

from collections.abc import Mapping

from dualvla_core.events.config import DetectorName, EventsTrainingConfig
from dualvla_core.events.learning import compare_event_detectors as compare
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, stage


@stage("compare_event_detectors", version=2)
def compare_event_detectors(
    _run: RunContext,
    settings: EventsTrainingConfig,
    labels: ArtifactRef,
    boundaries: Mapping[DetectorName, tuple[ArtifactRef, ...]],
    calibrations: Mapping[DetectorName, ArtifactRef],
) -> Work:
    """F1 of detectors and baselines on held-out episodes and held-out tasks, with intervals."""

    def body(job: Job) -> Summary:
        return compare(
            settings,
            job.store.folder(labels),
            {name: [job.store.folder(each) for each in refs] for name, refs in boundaries.items()},
            {name: job.store.folder(ref) for name, ref in calibrations.items()},
            job.output,
        )

    return Work(
        params={"calibration": settings.calibration.parts, "held_out_tasks": list(settings.held_out_tasks)},
        inputs={
            "labels": labels,
            **{f"boundaries_{name}": refs for name, refs in boundaries.items()},
            **{f"calibration_{name}": ref for name, ref in calibrations.items()},
        },
        body=body,
    )
