"""What a training reads: committed artifacts, and teachers that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from dualvla_core.errors import ArtifactError
from dualvla_core.training.plan import TrainingInputs
from infra.artifact_store import ArtifactStore
from infra.digests import digest_file, digest_json
from infra.manifest import ArtifactRef


@dataclass(frozen=True)
class NamedCheckpoint:
    """A policy that is no artifact of this store; keys know it by the digest of its content."""

    name: str
    folder: Path
    digest: str


Source: TypeAlias = ArtifactRef | tuple[ArtifactRef, ...] | NamedCheckpoint


@dataclass(frozen=True)
class TrainingSources:
    """The sources of a training, by the fields of `TrainingInputs`."""

    given: Mapping[str, Source]

    @property
    def artifacts(self) -> dict[str, ArtifactRef | tuple[ArtifactRef, ...]]:
        """What enters the key as inputs."""
        return {role: source for role, source in self.given.items() if not isinstance(source, NamedCheckpoint)}

    @property
    def facts(self) -> dict[str, str]:
        """What enters the key by its digest alone."""
        return {role: source.digest for role, source in self.given.items() if isinstance(source, NamedCheckpoint)}

    @property
    def names(self) -> dict[str, str]:
        """What the configuration calls those."""
        return {role: source.name for role, source in self.given.items() if isinstance(source, NamedCheckpoint)}

    def open(self, store: ArtifactStore) -> TrainingInputs:
        """Their folders, fetched where they are not here."""
        return TrainingInputs.model_validate({role: _folder(store, source) for role, source in self.given.items()})


def choose_teacher(wanted: bool | str, trained: ArtifactRef) -> ArtifactRef | NamedCheckpoint:
    """The one this run ``trained``, unless the configuration names a folder or ``owner/name`` on the hub.

    What is on the hub is fetched. Raises `ArtifactError` where there is no whole checkpoint of that name.
    """
    if isinstance(wanted, bool):
        return trained
    from dualvla_core.models.checkpoint import FILES, located  # noqa: PLC0415 - seconds, for those that name one

    folder = located(wanted).resolve()
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ArtifactError(
            f"The teacher {wanted!r} has no {missing[0]}; give the folder of a checkpoint of this project, or its hub "
            "name."
        )
    return NamedCheckpoint(wanted, folder, digest_json({name: digest_file(folder / name) for name in FILES}))


def _folder(store: ArtifactStore, source: Source) -> Path | tuple[Path, ...]:
    if isinstance(source, NamedCheckpoint):
        return source.folder
    return store.folder(source) if isinstance(source, ArtifactRef) else tuple(map(store.folder, source))
