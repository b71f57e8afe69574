"""Builds training shards, robot and multimodal."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dualvla_core.episodes.file_digests import FileDigests, dataset_files_digest
from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks.tsv import image_files
from dualvla_core.params import Params, Summary
from dualvla_core.shards import build_multimodal_shard as build_multimodal
from dualvla_core.shards import build_shard as build
from dualvla_core.shards.config import MultimodalConfig, ShardsConfig
from dualvla_core.shards.conversations import conversation_files, open_images
from dualvla_core.shards.question_tables import TABLE_SUFFIX
from infra.artifact_store import ArtifactStore
from infra.digests import digest_file, digest_json
from infra.manifest import ArtifactRef
from tasks.stage import Job, RunContext, Work, open_artifacts, stage


@stage("build_shards", version=3)
def build_shards(
    _run: RunContext,
    config: ShardsConfig,
    segment: ArtifactRef,
    decisions: ArtifactRef,
    reasoning: ArtifactRef | None = None,
) -> Work:
    """The training shard of a segment: every frame and action, and reasoning as pruning decided."""
    return Work(
        params=config.model_dump(mode="json"),
        inputs={"segment": segment, "decisions": decisions, **({"reasoning": reasoning} if reasoning else {})},
        body=lambda job: build(
            config,
            job.store.folder(segment),
            job.store.folder(decisions),
            job.output,
            job.progress,
            reasoning=job.store.folder(reasoning) if reasoning else None,
        ),
    )


class MultimodalSource(Params):
    """Visual questions: those recorded with demonstrations, or the user's own files; exactly one of the two."""

    recorded: ArtifactRef | None = Field(default=None, description="Recorded demonstrations.")
    path: str | None = Field(default=None, description="JSON of conversations or its folder, or a TSV of questions.")
    images: str | None = Field(default=None, description="Folder or tar of its images; none = beside the JSON.")

    def places(self, store: ArtifactStore) -> tuple[Path, Path]:
        """The JSON file and the folder or tar of its images."""
        if self.recorded is not None:
            return conversation_files(store.folder(self.recorded) / "multimodal", None)
        return conversation_files(Path(self.path or ""), Path(self.images) if self.images else None)

    def facts(self, store: ArtifactStore) -> dict[str, str]:
        """Digests of the user's files; `DatasetError` when they are missing."""
        if self.recorded is not None:
            return {}
        conversations, images = self.places(store)
        if not conversations.is_file():
            raise DatasetError(f"There is no file of conversations {conversations}; correct dataset.multimodal.")
        if conversations.suffix == TABLE_SUFFIX:
            named = [digest_file(image) for image in image_files(conversations) if image.is_file()]
            return {"conversations": digest_file(conversations), "images": digest_json(named)}
        open_images(images)
        digest = digest_file(images) if images.is_file() else dataset_files_digest(images, FileDigests())
        return {"conversations": digest_file(conversations), "images": digest}


@stage("build_multimodal_shard", version=2)
def build_multimodal_shard(run: RunContext, config: MultimodalConfig, source: MultimodalSource) -> Work:
    """A shard of visual questions."""

    def body(job: Job) -> Summary:
        conversations, images = source.places(job.store)
        return build_multimodal(config, conversations, job.output, job.progress, images)

    return Work(
        params=config.model_dump(mode="json"),
        inputs={"recorded": source.recorded} if source.recorded else {},
        facts=source.facts(open_artifacts(run)),
        body=body,
        provenance={"source": source.model_dump(mode="json")},
    )
