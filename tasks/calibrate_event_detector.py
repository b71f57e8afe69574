"""Calibrates an event detector, and hands its calibration to pruning and to people."""

from __future__ import annotations

import shutil
from pathlib import Path

from dualvla_core.errors import ConfigError
from dualvla_core.events.calibration import Calibration, read_calibration
from dualvla_core.events.config import CalibrationConfig, EventsConfig
from dualvla_core.events.learning import calibrate_event_detector as calibrate
from dualvla_core.params import Summary
from dualvla_core.pruning.config import PruningConfig
from infra.manifest import ArtifactRef
from tasks.progress import tell
from tasks.stage import Job, RunContext, Work, open_artifacts, stage


@stage("calibrate_event_detector", version=1)
def calibrate_event_detector(
    _run: RunContext,
    config: CalibrationConfig,
    events: EventsConfig,
    without_tasks: tuple[str, ...],
    labels: ArtifactRef,
    boundaries: tuple[ArtifactRef, ...],
    trained: ArtifactRef | None = None,
) -> Work:
    """Threshold, peak scope and tolerance for a detector's scores; the detector's digest is in the key."""

    def body(job: Job) -> Summary:
        folders = [job.store.folder(each) for each in boundaries]
        return calibrate(config, events, without_tasks, job.store.folder(labels), folders, job.output)

    return Work(
        params={
            **config.model_dump(mode="json"),
            "detector": events.detector,
            "settings": events.settings,
            "without_tasks": list(without_tasks),
        },
        inputs={"labels": labels, "boundaries": boundaries, **({} if trained is None else {"detector": trained})},
        body=body,
    )


def calibrated_pruning(
    run: RunContext, pruning: PruningConfig, events: EventsConfig, calibration: ArtifactRef | None
) -> PruningConfig:
    """``pruning`` with the threshold, scope and tolerance the detector in use was calibrated to, if it was."""
    if not events.use_calibration or (calibration is None and events.trained is None):
        return pruning
    folder = Path(events.trained or "") if calibration is None else open_artifacts(run).folder(calibration)
    found = read_calibration(folder)
    if (found.detector, found.settings) != (events.detector, events.settings):
        raise ConfigError(
            f"The calibration in {folder} is of the detector {found.detector!r} with settings {found.settings}, not of "
            f"{events.detector!r} as it is configured; change that, or calibrate it with `dualvla events train`."
        )
    tell(f"Pruning uses the calibration of {found.detector}: threshold {found.threshold:g}.")
    return pruning.model_copy(
        update={
            "boundary_threshold": found.threshold,
            "peak_scope": found.peak_scope,
            "scene_tolerance": found.scene_tolerance,
        }
    )


def export_detector(run: RunContext, parts: list[ArtifactRef], destination: Path) -> tuple[Calibration, Path]:
    """Copy what was learned and its calibration into one folder, which ``events.trained`` can name.

    Returns the calibration and the folder.
    """
    destination.mkdir(parents=True, exist_ok=True)
    store = open_artifacts(run)
    for part in parts:
        for path in store.folder(part).iterdir():
            shutil.copyfile(path, destination / path.name)
    return read_calibration(destination), destination
