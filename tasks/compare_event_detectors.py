"""Compares event detectors with each other and with baselines."""

from __future__ import annotations

from collections.abc import Mapping

from dualvla_core.events.config import DetectorName, EventsTrainingConfig, MotionNetConfig
from dualvla_core.events.learning import compare_event_detectors as compare
from dualvla_core.params import Summary
from infra.manifest import ArtifactRef
from infra.worker_process import run_in_process
from tasks.stage import Job, RunContext, Work, stage


@stage("compare_event_detectors", version=4)
def compare_event_detectors(
    _run: RunContext,
    settings: EventsTrainingConfig,
    reference: MotionNetConfig,
    labels: ArtifactRef,
    boundaries: Mapping[DetectorName, tuple[ArtifactRef, ...]],
    calibrations: Mapping[DetectorName, ArtifactRef],
    segments: tuple[ArtifactRef, ...],
) -> Work:
    """F1 of detectors and baselines on held-out episodes and held-out tasks, with intervals."""

    def body(job: Job) -> Summary:
        return run_in_process(
            compare,
            settings,
            reference,
            job.store.folder(labels),
            {name: [job.store.folder(each) for each in refs] for name, refs in boundaries.items()},
            {name: job.store.folder(ref) for name, ref in calibrations.items()},
            [job.store.folder(each) for each in segments],
            job.output,
            progress=job.progress,
        )

    return Work(
        params={
            "calibration": settings.calibration.parts,
            "held_out_tasks": list(settings.held_out_tasks),
            "reference": reference.model_dump(mode="json"),
            "training": settings.training.model_dump(mode="json", include={"positive", "seed"}),
        },
        inputs={
            "labels": labels,
            "segments": segments,
            **{f"boundaries_{name}": refs for name, refs in boundaries.items()},
            **{f"calibration_{name}": ref for name, ref in calibrations.items()},
        },
        body=body,
    )
