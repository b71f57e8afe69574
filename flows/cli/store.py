"""The artifact store of this machine's settings, and how its artifacts are named on the command line."""

from __future__ import annotations

from dualvla_core.errors import ArtifactError
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from infra.object_store import open_store
from infra.settings import Settings


def settled_store(settings: Settings) -> ArtifactStore:
    """The artifact store of this machine's settings."""
    return ArtifactStore(open_store(settings.store_uri, settings.s3_endpoint), settings.cache)


def find_artifact(store: ArtifactStore, name: str) -> Manifest:
    """The artifact STAGE/KEY, or the only one whose name contains ``name``; `ArtifactError` if none or several do."""
    stage, slash, key = name.partition("/")
    exact = store.find(stage, key) if slash and key else None
    if exact is not None:
        return exact
    keys = (info.key for info in store.objects.list("artifacts/") if info.key.endswith("/manifest.json"))
    found = [named for key in keys if name in (named := key.removeprefix("artifacts/").removesuffix("/manifest.json"))]
    if len(found) == 1:
        manifest = store.find(*found[0].split("/"))
        if manifest is not None:
            return manifest
    if len(found) > 1:
        raise ArtifactError(
            f"{name!r} fits {len(found)} artifacts, such as {found[0]} and {found[1]}; give more of it."
        )
    raise ArtifactError(f"There is no artifact {name!r} in {store.objects.uri}; `dualvla artifacts ls` lists them.")
