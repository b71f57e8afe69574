"""The stages that make a detector fit for use: training, calibration, comparison; all on labelled episodes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dualvla_core.episodes.segment import Segment
from dualvla_core.errors import ArtifactError
from dualvla_core.events.arm import arm_motion
from dualvla_core.events.calibration import CALIBRATION_FILE, Calibration, calibrate, read_calibration
from dualvla_core.events.comparison import (
    Comparison,
    Detections,
    Group,
    Margin,
    compare,
    detections,
    margins,
    told_phase_times,
)
from dualvla_core.events.config import (
    CalibrationConfig,
    DetectorName,
    DetectorTrainingConfig,
    EventsConfig,
    EventsTrainingConfig,
    MotionNetConfig,
)
from dualvla_core.events.detector import require_torch
from dualvla_core.events.labels import LabelledEpisode, by_task, choose, part_of, read_labels
from dualvla_core.events.stage import EncodedFrames, read_scores, views_of, watched_cameras
from dualvla_core.params import Summary
from dualvla_core.progress import Progress, silent

if TYPE_CHECKING:
    from dualvla_core.training.checkpoints import Checkpoints

COMPARISON_FILE = "comparison.json"
"""Rows of F1 and of margins, as `comparison.Comparison` and `comparison.Margin` have them."""


def train_event_detector(
    params: EventsConfig,
    settings: EventsTrainingConfig,
    segments: Sequence[Path],
    labels: Path,
    output: Path,
    checkpoints: Checkpoints | None = None,
    progress: Progress = silent,
) -> Summary:
    """Train the configured detector on the labelled episodes that are for training, and write it into ``output``.

    Raises `ConfigError` when nothing can be learned from those episodes, `DependencyError` without torch.
    """
    require_torch(params.detector)
    learned, _ = by_task(read_labels(labels), settings.training.without_tasks)
    episodes = choose(settings.calibration, learned, "train")
    watched = _watched(segments, episodes, params.cameras)
    if params.detector == "motion_net":
        return _train_motion_net(params, settings.training, watched, episodes, output, progress)
    return _train_ddm_net(params, settings.training, watched, episodes, output, checkpoints, progress)


def _train_ddm_net(
    params: EventsConfig,
    settings: DetectorTrainingConfig,
    watched: Iterator[Watched],
    episodes: Sequence[LabelledEpisode],
    output: Path,
    checkpoints: Checkpoints | None,
    progress: Progress,
) -> Summary:
    from dualvla_core.events import ddm_detector, training  # noqa: PLC0415 - torch is an extra
    from dualvla_core.events.backbones import Backbone  # noqa: PLC0415
    from dualvla_core.events.detector_folder import save_detector  # noqa: PLC0415

    config = params.ddm_net
    backbone = Backbone(config.backbone)
    features, total = {}, len(episodes) + settings.steps
    for done, (episode, views, _) in enumerate(watched, start=1):
        sampling = ddm_detector.sample_windows(config, episode.length, episode.fps)
        features[episode.episode] = (backbone.describe_views(views, sampling.frames.tolist()), sampling)
        progress(done, total)
    trained = training.train_ddm_net(
        config, settings, episodes, features, checkpoints, lambda done, _: progress(len(episodes) + done, total)
    )
    description = ddm_detector.DDMNetDescription(
        ddm_net=config, cameras=params.cameras, channels=trained.channels, backbone=backbone.fingerprint
    )
    save_detector(output, description, {"scale": trained.scale, "network": trained.network})
    return {
        "episodes": len(episodes),
        "windows": trained.windows,
        "positives": trained.positives,
        "loss": round(trained.loss, 4),
    }


def _train_motion_net(
    params: EventsConfig,
    settings: DetectorTrainingConfig,
    watched: Iterator[Watched],
    episodes: Sequence[LabelledEpisode],
    output: Path,
    progress: Progress,
) -> Summary:
    from dualvla_core.events.detector_folder import save_detector  # noqa: PLC0415 - torch is an extra
    from dualvla_core.events.motion_net import MotionNetDescription, flow_of_views  # noqa: PLC0415
    from dualvla_core.events.motion_training import train_motion_net  # noqa: PLC0415

    config = params.motion_net
    flows, motions = {}, {}
    total = len(episodes) + config.members * (config.odometry.steps + 2 * config.boundaries.steps)
    for done, (episode, views, signals) in enumerate(watched, start=1):
        motions[episode.episode] = arm_motion(signals)
        flows[episode.episode] = flow_of_views(config, views, motions[episode.episode].times)
        progress(done, total)
    trained = train_motion_net(
        config, settings, episodes, flows, motions, lambda done, _: progress(len(episodes) + done, total)
    )
    description = MotionNetDescription(
        motion_net=config,
        cameras=params.cameras,
        coordinates=trained.coordinates,
        fps=float(np.median([each.fps for each in episodes])),
    )
    save_detector(output, description, {"network": trained.network})
    return {
        "episodes": len(episodes),
        "frames": sum(each.length for each in episodes),
        "odometry_loss": round(trained.odometry_loss, 4),
        "loss": round(trained.loss, 4),
    }


class Watched(NamedTuple):
    """A labelled episode, what each camera saw of it, and what was recorded beside (`schemas.SIGNALS`)."""

    episode: LabelledEpisode
    views: list[EncodedFrames]
    signals: pa.RecordBatch


def _watched(
    segments: Sequence[Path], episodes: Sequence[LabelledEpisode], cameras: Sequence[str]
) -> Iterator[Watched]:
    """Each of ``episodes``, in their order. Raises `ArtifactError` when no segment holds one."""
    for episode, segment, place in _places(segments, episodes):
        seen = views_of(segment, place, watched_cameras(cameras, segment.cameras))
        yield Watched(episode, seen, segment.signals(place))


def _places(
    segments: Sequence[Path], episodes: Sequence[LabelledEpisode]
) -> Iterator[tuple[LabelledEpisode, Segment, int]]:
    """Each of ``episodes`` with its segment and position there. Raises `ArtifactError` when no segment holds one."""
    opened = [Segment(folder) for folder in segments]
    places = {name: segment for segment in opened for name in segment.episodes["episode"].to_pylist()}
    for episode in episodes:
        if episode.episode not in places:
            raise ArtifactError(f"No segment holds the labelled episode {episode.episode}; decode its dataset again.")
        segment = places[episode.episode]
        yield episode, segment, segment.find(episode.episode)


def calibrate_event_detector(
    params: CalibrationConfig,
    events: EventsConfig,
    without_tasks: Sequence[str],
    labels: Path,
    boundaries: Sequence[Path],
    output: Path,
) -> Summary:
    """Write ``calibration.json``, chosen on the labelled episodes for calibration, those of some tasks left out.

    ``boundaries`` are the folders with the detector's scores of those episodes.
    """
    learned, _ = by_task(read_labels(labels), without_tasks)
    episodes = choose(params, learned, "calibrate")
    calibration = calibrate(params, events, episodes, read_scores(boundaries))
    (output / CALIBRATION_FILE).write_text(calibration.model_dump_json(indent=1) + "\n")
    return {"episodes": len(episodes), "threshold": calibration.threshold, "f1": calibration.f1}


def compare_event_detectors(
    params: EventsTrainingConfig,
    reference: MotionNetConfig,
    labels: Path,
    boundaries: Mapping[DetectorName, Sequence[Path]],
    calibrations: Mapping[DetectorName, Path],
    segments: Sequence[Path],
    output: Path,
    progress: Progress = silent,
) -> Summary:
    """Write ``comparison.json``: each detector and each baseline on held-out episodes and on held-out tasks.

    On held-out episodes the prior of phase times knows the task's labelled episodes that are not for testing. On
    held-out tasks, all of whose episodes are new to every detector, it knows the other tasks only, as the detectors do;
    ``told_phase_times`` is the prior that was told the labels of the task's other episodes. Two references know the
    arm's motion as ``segments`` hold it, one of them through a ``reference`` network (`arm.arm_boundaries`).

    Raises `ConfigError` when a held-out task is not labelled, or none is left to learn from, and `DependencyError`
    without torch.
    """
    require_torch("motion_net")
    from dualvla_core.events.arm_references import arm_boundaries  # noqa: PLC0415 - torch is an extra

    labelled = read_labels(labels)
    known, held = by_task(labelled, params.held_out_tasks)
    tests: dict[Group, list[LabelledEpisode]] = {"held-out episodes": choose(params.calibration, known, "test")}
    if held:
        tests["held-out tasks"] = held
    read: dict[str, Calibration] = {name: read_calibration(folder) for name, folder in calibrations.items()}
    scores: dict[str, Mapping[str, NDArray[np.float32]]] = {
        name: read_scores(folders) for name, folders in boundaries.items()
    }
    rows: list[Comparison] = []
    ahead: list[Margin] = []
    learned = [each for each in known if part_of(params.calibration, each.initial_condition) != "test"]
    motions = {each.episode: arm_motion(segment.signals(place)) for each, segment, place in _places(segments, labelled)}
    arms = arm_boundaries(
        reference, params, motions, learned, [each for episodes in tests.values() for each in episodes]
    )
    for done, (group, episodes) in enumerate(tests.items(), start=1):
        found: Detections = {**detections(read, scores, learned, episodes), **arms}
        if group == "held-out tasks":
            found = {**found, "told_phase_times": told_phase_times(held, learned)}
        rows += compare(group, episodes, found)
        ahead += margins(group, episodes, found, list(read))
        progress(done, len(tests))
    written = {"comparisons": [row.as_json() for row in rows], "margins": [row._asdict() for row in ahead]}
    (output / COMPARISON_FILE).write_text(json.dumps(written, indent=1) + "\n")
    return {f"{row.detector}, {row.group}, ±{row.tolerance}": round(row.agreement.f1, 4) for row in rows}
