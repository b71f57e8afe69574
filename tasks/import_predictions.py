"""Takes over the predictions of a file that VLMEvalKit or somebody else wrote."""

from __future__ import annotations

from pathlib import Path

from dualvla_core.errors import DatasetError
from dualvla_core.evaluation.benchmarks import prediction_files
from infra.digests import digest_file
from infra.manifest import ArtifactRef
from tasks.stage import RunContext, Work, stage


@stage("import_predictions", version=1)
def import_predictions(_run: RunContext, path: str, questions: ArtifactRef) -> Work:
    """The answers of a prediction file to the questions of a benchmark."""
    file = Path(path)
    if not file.is_file():
        raise DatasetError(f"There is no file {path!r}; give the path of a prediction file.")
    return Work(
        params={},
        inputs={"questions": questions},
        facts={"file": digest_file(file), "kind": file.suffix.lower()},
        body=lambda job: prediction_files.import_predictions(file, job.output),
        provenance={"path": str(file.resolve())},
    )
