"""Curation: from demonstrations to pruned shards and a report. Read top to bottom, this is the DAG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

from prefect import flow

from dualvla_core.pipeline_config import PipelineConfig
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.build_shards import build_multimodal_shard, build_shards
from tasks.compute_kinematics import compute_kinematics
from tasks.compute_statistics import compute_statistics
from tasks.dataset import DatasetSource, recorded_dataset
from tasks.decode_episodes import collect_episodes, decode_episodes
from tasks.detect_event_boundaries import detect_event_boundaries
from tasks.plan import plan_decoding, scan_demonstrations
from tasks.prune_reasoning import prune_reasoning
from tasks.publish_report import CurationArtifacts, PolicyArtifacts, publish_report
from tasks.record_demonstrations import assemble_demonstrations, batch_seeds, record_demonstrations
from tasks.stage import Missing, Output, RunContext, call, collected

STAGES = (
    record_demonstrations,
    assemble_demonstrations,
    scan_demonstrations,
    decode_episodes,
    collect_episodes,
    detect_event_boundaries,
    compute_kinematics,
    prune_reasoning,
    build_shards,
    build_multimodal_shard,
    compute_statistics,
    publish_report,
)
"""Every stage, in the order of the data."""


def record(run: RunContext, config: PipelineConfig) -> Output:
    """Record simulated demonstrations and assemble them into one dataset."""
    batches = batch_seeds(config.record, config.execution.record_batch_episodes)
    recorded = [
        record_demonstrations.submit(f"{task} {seeds[0]}-{seeds[-1]}", run, config.record, task, seeds)
        for task, seeds in batches
    ]
    fraction = config.dataset.held_out_fraction
    label = f"{len(batches)} batches"
    return assemble_demonstrations.submit(label, run, config.record.capture, fraction, collected(recorded))


def curate_dataset(
    run: RunContext, config: PipelineConfig, dataset: DatasetSource | Missing, multimodal: Output | None
) -> CurationArtifacts | Missing:
    """Scan -> plan -> decode -> boundaries, kinematics -> pruning -> shards, statistics."""
    scanned = scan_demonstrations.submit(_name(dataset), run, dataset)
    decoded = _decode(run, config, dataset, scanned)
    segments: Sequence[Output] = [decoded] if isinstance(decoded, Missing) else decoded
    collection = collect_episodes.submit(_name(dataset), run, config.dataset.held_out_fraction, scanned, decoded)

    boundaries = detect_event_boundaries.map(run, repeat(config.events), segments)
    kinematics = compute_kinematics.map(run, repeat(config.kinematics), segments)
    decisions = prune_reasoning.map(run, repeat(config.pruning), segments, boundaries, kinematics)
    shards = build_shards.map(run, repeat(config.shards), segments, decisions)
    statistics = compute_statistics.submit("training split", run, config.statistics, collection, decoded)

    return gather(
        {
            "scan": scanned,
            "collection": collection,
            "segments": segments,
            "boundaries": boundaries,
            "kinematics": kinematics,
            "decisions": decisions,
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
        recorded = collected([record(run, config)])
        multimodal = build_multimodal_shard.submit("recorded questions", run, config.multimodal, first(recorded))
        dataset = recorded if isinstance(recorded, Missing) else recorded_dataset(config.name, recorded[0])
    else:
        dataset = DatasetSource(
            name=config.dataset.path.rstrip("/").rpartition("/")[2],
            path=config.dataset.path,
            embodiment=config.dataset.embodiment,
        )
    return dataset, curate_dataset(run, config, dataset, multimodal)


def publish(
    run: RunContext,
    config: PipelineConfig,
    dataset: DatasetSource | Missing,
    curated: CurationArtifacts | Missing,
    policies: Mapping[str, PolicyArtifacts] | Missing,
) -> ArtifactRef | Missing:
    """The report: of the curation and, where there are policies, of what they came to."""
    report = publish_report.submit(_name(dataset), run, config.report, dataset, curated, policies)
    return first(collected([report]))


@flow(name="curate", flow_run_name="curate {config.name}", persist_result=False)
def curate(config: PipelineConfig, run: RunContext | None = None) -> ArtifactRef | Missing:
    """From demonstrations to pruned shards and a report, which is returned."""
    with recorded("curate", config, run) as context:
        dataset, curated = curate_all(context, config)
        return publish(context, config, dataset, curated, {})


def first(refs: tuple[ArtifactRef, ...] | Missing) -> ArtifactRef | Missing:
    """The only result of a single submission."""
    return refs if isinstance(refs, Missing) else refs[0]


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


def _decode(
    run: RunContext, config: PipelineConfig, dataset: DatasetSource | Missing, scanned: Output
) -> tuple[ArtifactRef, ...] | Missing:
    """The segments of the whole dataset; what is decoded already is found, not decoded again.

    They are ordered by key, so that later stages see one order whether a segment is old or new.
    """
    scan = first(collected([scanned]))
    if isinstance(scan, Missing) or isinstance(dataset, Missing):
        return collected([decode_episodes.submit("every batch", run, config.decode, dataset, scan)])
    batches = call(plan_decoding, run, config.decode, dataset, scan, config.execution.segment_episodes)
    timeout = config.execution.episode_timeout_s
    segments = collected(
        decode_episodes.map(run, repeat(config.decode), repeat(dataset), repeat(scan), batches, repeat(timeout))
    )
    return segments if isinstance(segments, Missing) else tuple(sorted(segments, key=lambda segment: segment.key))


def _name(dataset: DatasetSource | Missing) -> str:
    return "the recorded dataset" if isinstance(dataset, Missing) else dataset.name
