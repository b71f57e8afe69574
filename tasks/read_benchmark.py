"""Reads the questions of a benchmark, from a TSV file or from this project's own multimodal shard."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.evaluation.benchmarks import question_set, tsv
from infra.digests import digest_file, digest_json
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage


@stage("read_benchmark", version=1)
def read_benchmark(_run: RunContext, name: str, path: str) -> Work:
    """Questions and images of a file in VLMEvalKit's layout, with its checksum."""
    file = Path(path)
    images = tsv.image_files(file)
    facts = {"file": digest_file(file), "images": digest_json([digest_file(image) for image in images])}
    return Work(
        params={"name": name},
        facts=facts,
        body=lambda job: tsv.read_benchmark(file, name, job.output, job.progress),
        provenance={"path": str(file.resolve())},
    )


@stage("read_question_set", version=1)
def read_question_set(_run: RunContext, split: str, multimodal: ArtifactRef) -> Work:
    """One split of a multimodal shard as a benchmark."""
    return Work(
        params={"split": split},
        inputs={"multimodal": multimodal},
        body=lambda job: question_set.read_question_set(job.store.folder(multimodal), split, job.output),
    )
