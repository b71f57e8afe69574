"""Curation: from demonstrations to pruned shards and a report. Read top to bottom, this is the DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

from prefect import flow

from dualvla_core.pipeline_config import PipelineConfig
from dualvla_core.pruning.config import PruningConfig
from flows.demonstrations import decode, first, given_source, name_of, record, recorded_source
from flows.events import Fitted, detector_for
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.annotate_reasoning import annotate_reasoning, read_annotations
from tasks.build_shards import MultimodalSource, build_multimodal_shard, build_shards
from tasks.calibrate_event_detector import calibrated_pruning
from tasks.compute_kinematics import compute_kinematics
from tasks.compute_statistics import compute_statistics
from tasks.dataset import DatasetSource
from tasks.decode_episodes import collect_episodes, decode_episodes
from tasks.detect_event_boundaries import detect_event_boundaries
from tasks.plan import scan_demonstrations
from tasks.prune_reasoning import prune_reasoning
from tasks.publish_report import CurationArtifacts, PolicyArtifacts, publish_report
from tasks.record_demonstrations import assemble_demonstrations, record_demonstrations
from tasks.stage import Missing, Output, RunContext, collected

STAGES = (
    record_demonstrations,
    assemble_demonstrations,
    scan_demonstrations,
    decode_episodes,
    collect_episodes,
    detect_event_boundaries,
    compute_kinematics,
    read_annotations,
    annotate_reasoning,
    prune_reasoning,
    build_shards,
    build_multimodal_shard,
    compute_statistics,
    publish_report,
)
"""Every stage, in the order of the data."""


def curate_dataset(
    run: RunContext, config: PipelineConfig, dataset: DatasetSource | Missing, multimodal: Output | None
) -> CurationArtifacts | Missing:
    """Scan -> plan -> decode -> boundaries, kinematics -> pruning -> shards, statistics."""
    scanned, decoded, collection = decode(run, config, dataset)
    segments: Sequence[Output] = [decoded] if isinstance(decoded, Missing) else decoded
    detector = detector_for(run, config)

    trained = None if detector is None else detector.trained
    boundaries = detect_event_boundaries.map(run, repeat(config.events), segments, repeat(trained))
    kinematics = compute_kinematics.map(run, repeat(config.kinematics), segments)
    pruning = calibrated(run, config, detector)
    reasoning = _annotate(run, config, scanned, segments)
    added = reasoning or repeat(None)
    decisions = prune_reasoning.map(run, repeat(pruning), segments, boundaries, kinematics, added)
    shards = build_shards.map(run, repeat(config.shards), segments, decisions, added)
    statistics = compute_statistics.submit("training split", run, config.statistics, collection, decoded)

    return gather(
        {
            "scan": scanned,
            "collection": collection,
            "segments": segments,
            "boundaries": boundaries,
            "kinematics": kinematics,
            "decisions": decisions,
            "reasoning": reasoning,
            "shards": shards,
            "statistics": statistics,
            "multimodal": multimodal,
        }
    )


def curate_all(run: RunContext, config: PipelineConfig) -> tuple[DatasetSource | Missing, CurationArtifacts | Missing]:
    """Curate the configured dataset; without one, demonstrations are recorded in simulation first."""
    multimodal: Output | None = None
    dataset: DatasetSource | Missing
    if config.dataset.path is None:
        recorded = record(run, config)
        multimodal = _questions(run, config, collected([recorded]))
        dataset = recorded_source(config.name, recorded)
    else:
        dataset = given_source(config)
    if config.dataset.multimodal is not None:
        own = MultimodalSource(path=config.dataset.multimodal, images=config.dataset.multimodal_images)
        multimodal = build_multimodal_shard.submit("own questions", run, config.multimodal, own)
    return dataset, curate_dataset(run, config, dataset, multimodal)


def publish(
    run: RunContext,
    config: PipelineConfig,
    dataset: DatasetSource | Missing,
    curated: CurationArtifacts | Missing,
    policies: Mapping[str, PolicyArtifacts] | Missing,
) -> ArtifactRef | Missing:
    """The report: of the curation and, where there are policies, of what they came to."""
    report = publish_report.submit(name_of(dataset), run, config.report, dataset, curated, policies)
    return first(collected([report]))


@flow(name="curate", flow_run_name="curate {config.name}", persist_result=False)
def curate(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef | Missing:
    """From demonstrations to pruned shards and a report, which is returned."""
    with recorded("curate", config, run) as context:
        dataset, curated = curate_all(context, config)
        return publish(context, config, dataset, curated, {})


def calibrated(run: RunContext, config: PipelineConfig, detector: Fitted | None) -> PruningConfig | Missing:
    """How to prune, with the threshold and tolerances the detector was calibrated to, if it was."""
    calibration = None if detector is None else detector.calibration
    if isinstance(calibration, Missing):
        return calibration
    return calibrated_pruning(run, config.pruning, config.events, calibration)


def gather(parts: dict[str, Output | Sequence[Output] | None]) -> CurationArtifacts | Missing:
    """Wait for the artifacts of a curation; in a dry run, the first that is missing."""
    found: dict[str, object] = {}
    for role, outputs in parts.items():
        if outputs is None:
            continue
        single = not isinstance(outputs, Sequence)
        refs = collected([outputs] if not isinstance(outputs, Sequence) else outputs)
        if isinstance(refs, Missing):
            return refs
        found[role] = refs[0] if single else refs
    return CurationArtifacts.model_validate(found)


def _annotate(
    run: RunContext, config: PipelineConfig, scanned: Output, segments: Sequence[Output]
) -> list[Output] | None:
    """The reasoning added to each segment; None where none is asked for, and demonstrations stay as they came."""
    files = config.dataset.annotations
    if not files and not config.annotate.motions:
        return None
    read = read_annotations.submit(f"{len(files)} files", run, config.annotate, files, scanned) if files else None
    return annotate_reasoning.map(run, repeat(config.annotate), segments, repeat(read))


def _questions(run: RunContext, config: PipelineConfig, recorded: tuple[ArtifactRef, ...] | Missing) -> Output:
    """The shard of the visual questions that were recorded with the demonstrations."""
    source = recorded if isinstance(recorded, Missing) else MultimodalSource(recorded=recorded[0])
    return build_multimodal_shard.submit("recorded questions", run, config.multimodal, source)
