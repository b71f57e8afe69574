"""Which demonstrations a run curates: a dataset folder of the user's, or one that was recorded into the store."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from dualvla_core.episodes.file_digests import FileDigests, dataset_files_digest
from dualvla_core.errors import DatasetError
from dualvla_core.params import Params
from infra.artifact_store import ArtifactStore
from infra.dataset_snapshot import dataset_snapshot
from infra.digests import digest_file, digest_json
from infra.hub import fetch_dataset, is_hub_name, pinned_dataset
from infra.manifest import ArtifactRef


class DatasetSource(Params):
    """A dataset by path or by artifact; exactly one of the two."""

    name: str = Field(description="Name of the dataset, as runs and reports show it.")
    path: str | None = Field(default=None, description="Folder or s3:// address of the dataset, or its hub name.")
    recorded: ArtifactRef | None = Field(default=None, description="Recorded demonstrations.")
    embodiment: str | None = Field(default=None, description="Shipped embodiment, or path of a YAML file.")

    def folder(self, store: ArtifactStore) -> Path:
        """Where the dataset can be read; `DatasetError` if there is no such folder."""
        if self.recorded is not None:
            return store.folder(self.recorded) / "demonstrations"
        if self.is_remote:
            return dataset_snapshot(self.path or "", store.s3_endpoint, store.cache, store.run)
        return dataset_folder(self.path or "")

    @property
    def is_remote(self) -> bool:
        """Whether the dataset lies in a bucket."""
        return "://" in (self.path or "")

    def inputs(self) -> dict[str, ArtifactRef]:
        """The artifact it was recorded into, if any."""
        return {"recorded": self.recorded} if self.recorded else {}

    def facts(self, store: ArtifactStore) -> dict[str, str]:
        """Digests of the user's files: the dataset's, and those of an embodiment description."""
        facts = {}
        if self.recorded is None:
            digests = self.file_digests(store)
            facts["files"] = dataset_files_digest(self.folder(store), digests)
            self._memo(store).parent.mkdir(parents=True, exist_ok=True)
            digests.save(self._memo(store))
        if self.embodiment_file:
            facts["embodiment"] = digest_file(self.embodiment_file)
        return facts

    @property
    def embodiment_file(self) -> Path | None:
        """The user's own embodiment description, if one was given."""
        path = Path(self.embodiment) if self.embodiment else None
        return path if path and path.is_file() else None

    def file_digests(self, store: ArtifactStore) -> FileDigests:
        """What this machine remembers of the dataset's files."""
        return FileDigests.load(self._memo(store))

    def _memo(self, store: ArtifactStore) -> Path:
        place = self.path or ""
        if not self.is_remote:  # of a hub's dataset the files of one commit are, mostly, those of the next
            place = place.partition("@")[0] if _is_on_hub(place) else str(self.folder(store).resolve())
        return store.cache / "file_digests" / f"{digest_json(place)[:20]}.json"


def given_dataset(path: str, embodiment: str | None) -> DatasetSource:
    """The user's dataset ``path``, named by its last part.

    One of the hub is held to the commit it is at now: everything a run makes is made from one state of it, which the
    artifacts' records name. Raises `DatasetError` when the hub cannot say.
    """
    name = path.rstrip("/").rpartition("/")[2]
    return DatasetSource(name=name, path=pinned_dataset(path) if _is_on_hub(path) else path, embodiment=embodiment)


def dataset_folder(path: str) -> Path:
    """The folder ``path``, or that of the hub's dataset of this name; `DatasetError` if it is neither."""
    if Path(path).is_dir():
        return Path(path)
    if _is_on_hub(path):
        return fetch_dataset(path)
    raise DatasetError(f"There is no folder {path!r}; give the folder of a dataset, or owner/name on the hub.")


def _is_on_hub(path: str) -> bool:
    return is_hub_name(path) and not Path(path).exists()


def recorded_dataset(name: str, artifact: ArtifactRef) -> DatasetSource:
    """The dataset inside an artifact of `assemble_demonstrations`."""
    return DatasetSource(name=name, recorded=artifact)
