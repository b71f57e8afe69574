"""Export: a curation, and what it made in a format that other trainers read."""

from __future__ import annotations

from prefect import flow

from dualvla_core.pipeline_config import PipelineConfig
from flows.curate import curate_all
from flows.demonstrations import first
from flows.recorded import recorded
from infra.manifest import ArtifactRef
from tasks.export_dataset import EXPORTS
from tasks.stage import Missing, RunContext, collected

STAGES = tuple(EXPORTS.values())


@flow(name="export", persist_result=False)
def export(config: PipelineConfig, run: RunContext) -> ArtifactRef | Missing:
    """Curate (what is curated already is found), then export; the exported artifact is returned."""
    with recorded("export", config, run) as context:
        _, curated = curate_all(context, config)
        if isinstance(curated, Missing):
            return curated
        parts = (curated.collection, curated.segments, curated.decisions, curated.reasoning)
        exported = EXPORTS[config.export.format].submit(config.name, context, config.export, *parts)
        return first(collected([exported]))
