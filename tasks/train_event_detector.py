"""Trains the event detectors that learn."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.events.config import EventsConfig, EventsTrainingConfig
from dualvla_core.events.learning import train_event_detector as train
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent
from dualvla_core.training.checkpoints import Checkpoints
from infra.manifest import ArtifactRef
from infra.object_store import open_store
from infra.worker_process import run_in_process
from tasks.stage import Job, RunContext, Work, open_artifacts, stage
from tasks.training_checkpoints import ObjectCheckpoints, discard_checkpoints

_CHECKPOINT_EVERY = 50  # steps; changes no result


@stage("train_event_detector", version=2)
def train_event_detector(
    run: RunContext,
    config: EventsConfig,
    settings: EventsTrainingConfig,
    segments: tuple[ArtifactRef, ...],
    labels: ArtifactRef,
) -> Work:
    """DDM-Net or the motion network, trained on labelled boundaries; a killed DDM-Net goes on from its checkpoint."""

    def body(job: Job) -> Summary:
        scratch = job.store.cache / "training" / job.key / job.attempt
        scratch.mkdir(parents=True, exist_ok=True)
        folders = [job.store.folder(segment) for segment in segments]
        place = (run.store_uri, run.s3_endpoint, job.key, job.attempt)
        inputs = (config, settings, folders, job.store.folder(labels), job.output)
        return run_in_process(_train, place, scratch, inputs, progress=job.progress)

    return Work(
        params={
            "cameras": config.cameras,
            config.detector: getattr(config, config.detector).model_dump(mode="json"),
            "training": settings.training.model_dump(mode="json"),
            "calibration": settings.calibration.parts,
        },
        inputs={"segments": segments, "labels": labels},
        body=body,
        committed=lambda ref: discard_checkpoints(open_artifacts(run).objects, ref.key),
    )


def _train(
    place: tuple[str, str | None, str, str],
    scratch: Path,
    inputs: tuple[EventsConfig, EventsTrainingConfig, list[Path], Path, Path],
    progress: Progress = silent,
) -> Summary:
    """In a process of its own: the training, with its checkpoints in the object store."""
    uri, endpoint, key, attempt = place
    kept = ObjectCheckpoints(open_store(uri, endpoint), key, attempt, 1, scratch)
    return train(*inputs, checkpoints=Checkpoints(kept, _CHECKPOINT_EVERY, scratch), progress=progress)
