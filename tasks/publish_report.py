"""Writes the report of a curation: gathers what the artifacts say about themselves, and lets the core draw it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from dualvla_core import schemas
from dualvla_core.params import Params, Summary
from dualvla_core.report.config import ReportParams
from dualvla_core.report.context import CuratedSegment, EpisodeContext, ReportContext
from dualvla_core.report.curation import curation_report
from dualvla_core.report.model import DatasetFacts, SkippedEpisode, StageNode
from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef, Manifest
from tasks.dataset import DatasetSource
from tasks.stage import Job, RunContext, Work, open_artifacts, stage


class CurationArtifacts(Params):
    """Every artifact of a curation, by role; lists run parallel, one entry per segment."""

    scan: ArtifactRef = Field(description="What the dataset holds.")
    collection: ArtifactRef = Field(description="The episodes of this run.")
    segments: tuple[ArtifactRef, ...] = Field(description="Decoded episodes.")
    boundaries: tuple[ArtifactRef, ...] = Field(description="Event-boundary scores.")
    kinematics: tuple[ArtifactRef, ...] = Field(description="Velocity, acceleration and gripper transitions.")
    decisions: tuple[ArtifactRef, ...] = Field(description="Decision tables.")
    shards: tuple[ArtifactRef, ...] = Field(description="Robot training shards.")
    statistics: ArtifactRef = Field(description="Normalisation statistics.")
    multimodal: ArtifactRef | None = Field(default=None, description="Multimodal shard.")

    def roles(self) -> dict[str, tuple[ArtifactRef, ...]]:
        """The artifacts by role, each role a tuple."""
        single = {name: (ref,) for name, ref in self if isinstance(ref, ArtifactRef)}
        return {**single, **{name: refs for name, refs in self if isinstance(refs, tuple)}}


@stage("publish_report", version=1)
def publish_report(
    _run: RunContext, config: ReportParams, dataset: DatasetSource, artifacts: CurationArtifacts
) -> Work:
    """``report.html`` and ``report.json`` of a curation."""

    def body(job: Job) -> Summary:
        folder = job.store.folder
        rows = zip(artifacts.segments, artifacts.boundaries, artifacts.kinematics, artifacts.decisions, strict=True)
        sources = [CuratedSegment(*(folder(ref) for ref in row)) for row in rows]
        return curation_report(sources, _context(job.store, config, dataset, artifacts), job.output, job.progress)

    params = {"report": config.model_dump(mode="json"), "dataset": dataset.name}
    return Work(params=params, inputs=artifacts.roles(), body=body)


def export_report(run: RunContext, report: ArtifactRef, folder: Path) -> Path:
    """Copy a report out of the store to where people look for it; returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("report.html", "report.json"):
        shutil.copyfile(open_artifacts(run).folder(report) / name, folder / name)
    return folder / "report.html"


def _context(
    store: ArtifactStore, config: ReportParams, dataset: DatasetSource, artifacts: CurationArtifacts
) -> ReportContext:
    scan, collection = store.folder(artifacts.scan), store.folder(artifacts.collection)
    facts = json.loads((scan / "dataset.json").read_text())
    episodes = pq.read_table(collection / "collection.parquet", schema=schemas.COLLECTION).to_pylist()
    skipped = pq.read_table(collection / "skipped.parquet", schema=schemas.SKIPPED).to_pylist()
    lineage = list(_lineage(store, [ref for refs in artifacts.roles().values() for ref in refs]))
    labels = dataset.folder(store) / "labels"
    phases = labels / "phases.parquet"
    return ReportContext(
        title=f"Curation of {dataset.name}",
        datasets=(_dataset_facts(dataset.name, facts, _unsolved(labels / "attempts.parquet")),),
        episodes=tuple(
            EpisodeContext(dataset=dataset.name, **{k: row[k] for k in ("episode", "episode_index", "task", "split")})
            for row in episodes
        ),
        skipped=tuple(SkippedEpisode(dataset=dataset.name, **row) for row in skipped),
        parameters={manifest.request.stage: manifest.request.params for manifest in lineage},
        lineage=tuple(_node(manifest) for manifest in lineage),
        statistics=store.folder(artifacts.statistics),
        multimodal=store.folder(artifacts.multimodal) if artifacts.multimodal else None,
        phases={dataset.name: phases} if phases.exists() else {},
        report=config,
    )


def _unsolved(attempts: Path) -> tuple[str, ...]:
    """The recorded attempts that became no demonstration, each with its reason."""
    if not attempts.exists():
        return ()
    return tuple(
        f"The attempt {row['initial_condition']} became no demonstration: {row['reason']}"
        for row in pq.read_table(attempts).to_pylist()
        if not row["success"]
    )


def _dataset_facts(name: str, facts: dict[str, Any], unsolved: tuple[str, ...]) -> DatasetFacts:
    return DatasetFacts(
        name=name,
        layout=facts["layout"],
        robot=facts["robot_type"] or "not declared",
        cameras=tuple(facts["cameras"]),
        fps=facts["fps"],
        embodiment=facts["embodiment"]["name"],
        embodiment_description=facts["embodiment"]["description"],
        warnings=(*facts["warnings"], *unsolved),
    )


def _lineage(store: ArtifactStore, refs: list[ArtifactRef]) -> Iterator[Manifest]:
    """The artifacts and everything they were made from, each once, makers first."""
    seen: set[str] = set()

    def visit(ref: ArtifactRef) -> Iterator[Manifest]:
        if str(ref) in seen:
            return
        seen.add(str(ref))
        manifest = store.manifest(ref)
        for inputs in manifest.request.inputs.values():
            for source in inputs:
                yield from visit(source)
        yield manifest

    for ref in refs:
        yield from visit(ref)


def _node(manifest: Manifest) -> StageNode:
    request = manifest.request
    return StageNode(
        stage=request.stage,
        key=manifest.key,
        digest=manifest.digest,
        version=request.version,
        inputs=tuple(ref.key for refs in request.inputs.values() for ref in refs),
    )
