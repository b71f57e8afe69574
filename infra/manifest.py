"""What a committed artifact says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Params, Summary
from infra.digests import artifact_key, digest_json, recipe_digest

MANIFEST_FORMAT = 1


class ArtifactRef(Params):
    """Names one committed artifact; the only form in which data travels between tasks."""

    stage: str = Field(description="The stage that made it.")
    key: str = Field(description="Its recipe and inputs, as digests.")
    digest: str = Field(description="Its payload digest.")

    def __str__(self) -> str:
        return f"{self.stage}/{self.key}"


class FileEntry(Params):
    """One payload file."""

    digest: str = Field(description="SHA-256 of its bytes.")
    size: int = Field(description="Its size in bytes.")


class StageRequest(Params):
    """What a stage is asked to make: everything its key is made of."""

    stage: str = Field(description="The stage's name.")
    version: int = Field(description="Raised whenever the same inputs would give another output.")
    params: dict[str, Any] = Field(description="The stage's own parameters.")
    inputs: dict[str, tuple[ArtifactRef, ...]] = Field(description="The artifacts it reads, by role.")
    facts: dict[str, str] = Field(description="Digests of what it reads that is no artifact, by role.")

    @property
    def recipe(self) -> str:
        """The digest of stage, version and parameters."""
        return recipe_digest(self.stage, self.version, self.params)

    @property
    def key(self) -> str:
        """The artifact's key; inputs count by their payload, so an unchanged payload stops the ripple."""
        digests = {role: [ref.digest for ref in refs] for role, refs in self.inputs.items()}
        digests |= {role: [digest] for role, digest in self.facts.items()}
        return artifact_key(self.recipe, digests)


class Manifest(Params):
    """The commit of an artifact: it is written last, and where it is absent nothing exists."""

    format: int = Field(description="The manifest format.")
    request: StageRequest = Field(description="What was asked for.")
    key: str = Field(description="The artifact's key.")
    attempt: str = Field(description="The folder of the attempt that won.")
    files: dict[str, FileEntry] = Field(description="The payload, by relative path.")
    summary: Summary = Field(description="Scalars about the payload.")
    digest: str = Field(description="Payload digest, over files and summary.")

    @property
    def ref(self) -> ArtifactRef:
        """The reference other stages hold."""
        return ArtifactRef(stage=self.request.stage, key=self.key, digest=self.digest)

    @property
    def size(self) -> int:
        """Bytes of the payload."""
        return sum(entry.size for entry in self.files.values())

    def to_json(self) -> bytes:
        """The bytes that are committed."""
        return self.model_dump_json(indent=1).encode()


def read_manifest(data: bytes, where: str) -> Manifest:
    """Parse a committed manifest; raise `ArtifactError` for a format this version does not know."""
    try:
        manifest = Manifest.model_validate_json(data)
    except ValueError as error:
        raise ArtifactError(f"The manifest of {where} cannot be read: {error}.") from error
    if manifest.format != MANIFEST_FORMAT:
        raise ArtifactError(
            f"{where} has manifest format {manifest.format}, this version reads {MANIFEST_FORMAT}; "
            "remove the artifact to have it recomputed, or use the version that wrote it."
        )
    return manifest


def payload_digest(files: Mapping[str, FileEntry], summary: Summary) -> str:
    """The digest by which later stages know a payload: file names and bytes, and the summary."""
    return digest_json({"files": {name: entry.digest for name, entry in files.items()}, "summary": summary})[:32]
