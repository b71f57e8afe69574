"""What every flow begins with: demonstrations, recorded or given, scanned and decoded."""

from __future__ import annotations

from itertools import repeat
from typing import NamedTuple

from dualvla_core.pipeline_config import PipelineConfig
from infra.manifest import ArtifactRef
from tasks.dataset import DatasetSource, given_dataset, recorded_dataset
from tasks.decode_episodes import collect_episodes, decode_episodes
from tasks.plan import plan_decoding, scan_demonstrations
from tasks.record_demonstrations import assemble_demonstrations, batch_seeds, record_demonstrations
from tasks.stage import Missing, Output, RunContext, call, collected


class Decoded(NamedTuple):
    """A dataset's scan, segments and collection."""

    scan: Output
    segments: tuple[ArtifactRef, ...] | Missing
    collection: Output


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


def recorded_source(name: str, recorded: Output) -> DatasetSource | Missing:
    """The dataset that was recorded."""
    ref = first(collected([recorded]))
    return ref if isinstance(ref, Missing) else recorded_dataset(name, ref)


def given_source(config: PipelineConfig) -> DatasetSource:
    """The configured dataset, which is the user's."""
    path = config.dataset.path
    assert path is not None
    return given_dataset(path, config.dataset.embodiment)


def decode(run: RunContext, config: PipelineConfig, dataset: DatasetSource | Missing) -> Decoded:
    """Scan a dataset, decode what is not decoded yet, and collect the episodes of this run."""
    scanned = scan_demonstrations.submit(name_of(dataset), run, dataset)
    segments = _segments(run, config, dataset, scanned)
    fraction = config.dataset.held_out_fraction
    return Decoded(scanned, segments, collect_episodes.submit(name_of(dataset), run, fraction, scanned, segments))


def first(refs: tuple[ArtifactRef, ...] | Missing) -> ArtifactRef | Missing:
    """The only result of a single submission."""
    return refs if isinstance(refs, Missing) else refs[0]


def name_of(dataset: DatasetSource | Missing) -> str:
    """A dataset's name, as runs show it."""
    return "the recorded dataset" if isinstance(dataset, Missing) else dataset.name


def _segments(
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
