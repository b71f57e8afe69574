"""Writes the report: gathers what the artifacts say about themselves, and lets the core draw it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import Field

from dualvla_core import schemas
from dualvla_core.params import Params, Summary
from dualvla_core.report.config import ReportParams
from dualvla_core.report.context import CuratedSegment, EpisodeContext, ReportContext, TrainedPolicy
from dualvla_core.report.model import DatasetFacts, SkippedEpisode, StageNode, StageParameters
from dualvla_core.report.stage import write_report
from dualvla_core.training.config import TrainingConfig
from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef, Manifest
from tasks.dataset import DatasetSource
from tasks.stage import Job, RunContext, Work, open_artifacts, stage

_ORIGINS = ("initial", "action_teacher", "reasoning_teacher")


class CurationArtifacts(Params):
    """Every artifact of a curation, by role; lists run parallel, one entry per segment."""

    scan: ArtifactRef = Field(description="What the dataset holds.")
    collection: ArtifactRef = Field(description="The episodes of this run.")
    segments: tuple[ArtifactRef, ...] = Field(description="Decoded episodes.")
    boundaries: tuple[ArtifactRef, ...] = Field(description="Event-boundary scores.")
    kinematics: tuple[ArtifactRef, ...] = Field(description="Velocity, acceleration and gripper transitions.")
    decisions: tuple[ArtifactRef, ...] = Field(description="Decision tables.")
    reasoning: tuple[ArtifactRef, ...] = Field(
        default=(), description="Reasoning that was added, if any was asked for."
    )
    shards: tuple[ArtifactRef, ...] = Field(description="Robot training shards.")
    statistics: ArtifactRef = Field(description="Normalisation statistics.")
    multimodal: ArtifactRef | None = Field(default=None, description="Multimodal shard.")

    def roles(self) -> dict[str, tuple[ArtifactRef, ...]]:
        """The artifacts by role, each role a tuple."""
        single = {name: (ref,) for name, ref in self if isinstance(ref, ArtifactRef)}
        return {**single, **{name: refs for name, refs in self if isinstance(refs, tuple)}}


class PolicyArtifacts(Params):
    """A policy's checkpoint and the measures taken of it."""

    checkpoint: ArtifactRef = Field(description="The trained policy.")
    open_loop: ArtifactRef | None = Field(default=None, description="Open-loop action error.")
    questions: ArtifactRef | None = Field(default=None, description="Answers to held-out questions.")
    benchmarks: ArtifactRef | None = Field(default=None, description="Table of the multimodal benchmarks.")
    rollouts: ArtifactRef | None = Field(default=None, description="Closed-loop rollouts.")
    score: ArtifactRef | None = Field(default=None, description="VLA Score of the rollouts.")

    def roles(self, policy: str) -> dict[str, tuple[ArtifactRef, ...]]:
        """The artifacts by role, under the policy's name."""
        return {f"{policy}.{role}": (ref,) for role, ref in self if ref is not None}


@stage("publish_report", version=7)
def publish_report(
    _run: RunContext,
    config: ReportParams,
    dataset: DatasetSource,
    artifacts: CurationArtifacts,
    policies: Mapping[str, PolicyArtifacts],
) -> Work:
    """``report.html`` and ``report.json`` of a curation and, where there are any, of the policies trained on it.

    ``policies`` are shown by name, in their order; the last is the one the report is about.
    """
    inputs = artifacts.roles()
    for name, policy in policies.items():
        inputs |= policy.roles(name)

    def body(job: Job) -> Summary:
        folder = job.store.folder
        rows = zip(artifacts.segments, artifacts.boundaries, artifacts.kinematics, artifacts.decisions, strict=True)
        added = artifacts.reasoning or [None] * len(artifacts.segments)
        sources = [
            CuratedSegment(folder(a), folder(b), folder(c), folder(d), folder(said) if said else None)
            for (a, b, c, d), said in zip(rows, added, strict=True)
        ]
        made = list(_lineage(job.store, [ref for refs in inputs.values() for ref in refs]))
        context = _context(job.store, config, dataset, artifacts).model_copy(
            update={
                "title": f"DualVLA on {dataset.name}" if policies else f"Curation of {dataset.name}",
                "parameters": _parameters(made),
                "lineage": tuple(map(_node, made)),
                "policies": tuple(trained_policy(job.store, name, policy) for name, policy in policies.items()),
            }
        )
        return write_report(sources, context, job.output, job.progress)

    params = {"report": config.model_dump(mode="json"), "dataset": dataset.name, "policies": list(policies)}
    return Work(params=params, inputs=inputs, body=body)


def export_report(run: RunContext, report: ArtifactRef, folder: Path) -> Path:
    """Copy a report out of the store to where people look for it; returns the page's path."""
    return export_artifact(run, report, folder) / "report.html"


def export_artifact(run: RunContext, artifact: ArtifactRef, folder: Path) -> Path:
    """Copy an artifact's payload into ``folder``, in place of what was there; returns it."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(open_artifacts(run).folder(artifact), folder)
    return folder


def _context(
    store: ArtifactStore, config: ReportParams, dataset: DatasetSource, artifacts: CurationArtifacts
) -> ReportContext:
    scan, collection = store.folder(artifacts.scan), store.folder(artifacts.collection)
    facts = json.loads((scan / "dataset.json").read_text())
    episodes = pq.read_table(collection / "collection.parquet", schema=schemas.COLLECTION).to_pylist()
    skipped = pq.read_table(collection / "skipped.parquet", schema=schemas.SKIPPED).to_pylist()
    labels = dataset.folder(store) / "labels"
    phases = labels / "phases.parquet"
    return ReportContext(
        title=dataset.name,
        datasets=(_dataset_facts(dataset.name, facts, _unsolved(labels / "attempts.parquet")),),
        episodes=tuple(
            EpisodeContext(dataset=dataset.name, **{k: row[k] for k in ("episode", "episode_index", "task", "split")})
            for row in episodes
        ),
        skipped=tuple(SkippedEpisode(dataset=dataset.name, **row) for row in skipped),
        statistics=store.folder(artifacts.statistics),
        multimodal=store.folder(artifacts.multimodal) if artifacts.multimodal else None,
        phases={dataset.name: phases} if phases.exists() else {},
        report=config,
    )


def trained_policy(store: ArtifactStore, name: str, policy: PolicyArtifacts) -> TrainedPolicy:
    """What reports and experiments read of a policy."""
    made = store.manifest(policy.checkpoint)
    inputs = made.request.inputs
    measures = {role: getattr(policy, role) for role in ("questions", "benchmarks", "rollouts", "score")}
    return TrainedPolicy(
        name=name,
        checkpoint=store.folder(policy.checkpoint),
        key=made.key,
        digest=made.digest,
        origins={role: refs[0].key for role, refs in inputs.items() if role in _ORIGINS}
        | {role: f"sha256:{digest}" for role, digest in made.request.facts.items() if role in _ORIGINS},
        training=made.summary,
        config=TrainingConfig.model_validate(made.request.params["training"]),
        parameters=made.request.params,
        pruning=_pruning_rules(store, inputs["shards"]),
        collection=store.folder(inputs["collection"][0]),
        lineage=tuple(map(_node, _lineage(store, [policy.checkpoint]))),
        open_loop=store.manifest(policy.open_loop).summary if policy.open_loop else None,
        **{role: store.folder(ref) for role, ref in measures.items() if ref is not None},
    )


def _pruning_rules(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> tuple[str, ...]:
    """The rules that decided on the reasoning in these shards, each once."""
    decisions = [ref for shard in shards for ref in store.manifest(shard).request.inputs["decisions"]]
    return tuple(dict.fromkeys(store.manifest(ref).request.params["rule"] for ref in decisions))


def _parameters(made: Sequence[Manifest]) -> StageParameters:
    """By stage, every distinct set of parameters, in the order of the lineage."""
    found: dict[str, list[dict[str, Any]]] = {}
    for manifest in made:
        sets = found.setdefault(manifest.request.stage, [])
        if manifest.request.params not in sets:
            sets.append(manifest.request.params)
    return {name: tuple(sets) for name, sets in found.items()}


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
