"""Scores event boundaries in each segment's video: the scene layer."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.errors import ArtifactError
from dualvla_core.events import detect_event_boundaries as detect
from dualvla_core.events.config import EventsConfig
from infra.digests import digest_file
from infra.manifest import ArtifactRef
from infra.worker_process import run_in_process
from tasks.stage import RunContext, Work, stage


@stage("detect_event_boundaries", version=1)
def detect_event_boundaries(
    _run: RunContext, config: EventsConfig, segment: ArtifactRef, trained: ArtifactRef | None = None
) -> Work:
    """An event-boundary score for every frame of a segment.

    ``trained`` is a detector trained in this run; without it, one the user names as ``events.trained`` is used, if the
    configured detector is one that is trained. Only what the chosen detector depends on is in the key.
    """
    learns = config.learns
    named = Path(config.trained) if learns and trained is None and config.trained else None

    return Work(
        params={"detector": config.detector, "cameras": config.cameras, "settings": config.settings},
        inputs={"segment": segment, **({"detector": trained} if learns and trained is not None else {})},
        facts={} if named is None else trained_digests(named),
        body=lambda job: run_in_process(
            detect,
            config,
            job.store.folder(segment),
            job.output,
            named if trained is None or not learns else job.store.folder(trained),
            progress=job.progress,
        ),
    )


def trained_digests(folder: Path) -> dict[str, str]:
    """Digests of a trained detector's files. Raises `ArtifactError` when there are none in ``folder``."""
    files = [folder / name for name in ("detector.json", "detector.safetensors")]
    if not all(file.is_file() for file in files):
        raise ArtifactError(
            f"There is no trained detector in {str(folder)!r} (detector.json, detector.safetensors); make one with "
            "`dualvla events train`, and name the folder it prints as events.trained."
        )
    return {file.name: digest_file(file) for file in files}
