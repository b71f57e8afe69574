"""Event detectors: labelled demonstrations -> training -> scores -> calibration -> comparison."""

from __future__ import annotations

from itertools import repeat
from typing import NamedTuple

from prefect import flow

from dualvla_core.errors import ConfigError
from dualvla_core.events.config import DetectorName, EventsConfig
from dualvla_core.pipeline_config import PipelineConfig
from flows.demonstrations import decode, first, given_source, record, recorded_source
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.calibrate_event_detector import calibrate_event_detector
from tasks.compare_event_detectors import compare_event_detectors
from tasks.detect_event_boundaries import detect_event_boundaries
from tasks.label_boundaries import label_boundaries
from tasks.stage import Missing, Output, RunContext, collected
from tasks.train_event_detector import train_event_detector

STAGES = (label_boundaries, train_event_detector, calibrate_event_detector, compare_event_detectors)
"""The stages beyond curation, in the order of the data."""

COMPARED: tuple[DetectorName, ...] = ("optical_flow", "novelty", "ddm_net", "motion_net")


class Labelled(NamedTuple):
    """Decoded episodes whose event boundaries are known."""

    segments: tuple[ArtifactRef, ...] | Missing
    labels: ArtifactRef | Missing


class Fitted(NamedTuple):
    """A detector that can be used: what it has learned, if it learns, its scores of the labelled episodes, and its
    calibration on some of them."""

    trained: ArtifactRef | Missing | None
    boundaries: tuple[ArtifactRef, ...] | Missing
    calibration: ArtifactRef | Missing


def labelled_demonstrations(run: RunContext, config: PipelineConfig) -> Labelled:
    """The user's labelled dataset, or demonstrations recorded for this with seeds of their own.

    Raises `ConfigError` when the user's dataset comes without labels.
    """
    settings = config.events_training
    if config.dataset.path is None:
        seeds = {"first_seed": settings.first_seed, "episodes_per_task": settings.episodes_per_task}
        own = config.model_copy(update={"record": config.record.model_copy(update=seeds)})
        dataset = recorded_source(f"{config.name} events", record(run, own))
    elif settings.labels is None:
        raise ConfigError(
            "A dataset without labelled event boundaries was given; name a file of them as events_training.labels, or "
            "a detector that is trained already as events.trained."
        )
    else:
        dataset = given_source(config)
    decoded = decode(run, config, dataset)
    labels = label_boundaries.submit("labels", run, settings.labels, dataset, first(collected([decoded.collection])))
    return Labelled(decoded.segments, first(collected([labels])))


def fit_detector(
    run: RunContext, config: PipelineConfig, events: EventsConfig, labelled: Labelled, without_tasks: tuple[str, ...]
) -> Fitted:
    """Train the detector if it is one that learns, score the labelled episodes with it, and calibrate it.

    Episodes of ``without_tasks`` count neither in training nor in calibration.
    """
    settings = config.events_training
    trained: ArtifactRef | Missing | None = None
    if events.learns:
        training = settings.training.model_copy(update={"without_tasks": without_tasks})
        settings = settings.model_copy(update={"training": training})
        trained = first(collected([train_event_detector.submit(events.detector, run, events, settings, *labelled)]))
    segments = [labelled.segments] if isinstance(labelled.segments, Missing) else labelled.segments
    boundaries = collected(detect_event_boundaries.map(run, repeat(events), segments, repeat(trained)))
    calibration = calibrate_event_detector.submit(
        events.detector, run, settings.calibration, events, without_tasks, labelled.labels, boundaries, trained
    )
    return Fitted(trained, boundaries, first(collected([calibration])))


def detector_for(run: RunContext, config: PipelineConfig) -> Fitted | None:
    """The detector of a curation, where it has to be trained first; None where it is given or learns nothing."""
    if not config.events.learns or config.events.trained is not None:
        return None
    return fit_detector(
        run, config, config.events, labelled_demonstrations(run, config), config.events_training.training.without_tasks
    )


@flow(name="train-events", persist_result=False)
def train_events(config: PipelineConfig, run: RunContext) -> tuple[ArtifactRef, ...] | Missing:
    """Make the configured detector fit for use; returns what it has learned, if it learns, and its calibration."""
    with recorded("train-events", config, run) as context:
        labelled = labelled_demonstrations(context, config)
        fitted = fit_detector(context, config, config.events, labelled, config.events_training.training.without_tasks)
        return collected([part for part in (fitted.trained, fitted.calibration) if part is not None])


@flow(name="compare-events", persist_result=False)
def compare_events(config: PipelineConfig, run: RunContext) -> ArtifactRef | Missing:
    """Every detector and baseline on held-out episodes and held-out tasks, which none of them has seen."""
    with recorded("compare-events", config, run) as context:
        return _compared(context, config)


def _compared(run: RunContext, config: PipelineConfig) -> ArtifactRef | Missing:
    labelled = labelled_demonstrations(run, config)
    boundaries: dict[DetectorName, tuple[ArtifactRef, ...]] = {}
    calibrations: dict[DetectorName, ArtifactRef] = {}
    for name in COMPARED:
        events = config.events.model_copy(update={"detector": name, "trained": None})
        fitted = fit_detector(run, config, events, labelled, config.events_training.held_out_tasks)
        if isinstance(fitted.boundaries, Missing) or isinstance(fitted.calibration, Missing):
            return first(collected([_comparison(run, config, labelled, fitted.calibration)]))
        boundaries[name], calibrations[name] = fitted.boundaries, fitted.calibration
    return first(collected([_comparison(run, config, labelled, boundaries, calibrations, labelled.segments)]))


def _comparison(run: RunContext, config: PipelineConfig, labelled: Labelled, *fitted: object) -> Output:
    return compare_event_detectors.submit(
        "held-out episodes and tasks", run, config.events_training, config.events.motion_net, labelled.labels, *fitted
    )
