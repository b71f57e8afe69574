"""What was made from what, in both directions; knows manifests and no stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infra.artifact_store import ArtifactStore
from infra.manifest import ArtifactRef, Manifest


def inputs_of(manifest: Manifest) -> list[ArtifactRef]:
    """Every artifact this one was made from, each once, in the order of the roles."""
    return list(dict.fromkeys(ref for refs in manifest.request.inputs.values() for ref in refs))


def ancestors(store: ArtifactStore, refs: Iterable[ArtifactRef]) -> Iterator[Manifest]:
    """The artifacts and everything they were made from, each once, makers first; `ArtifactError` where one is gone."""
    seen: set[str] = set()

    def visit(ref: ArtifactRef) -> Iterator[Manifest]:
        if str(ref) in seen:
            return
        seen.add(str(ref))
        manifest = store.manifest(ref)
        for source in inputs_of(manifest):
            yield from visit(source)
        yield manifest

    for ref in refs:
        yield from visit(ref)


def consumers(manifests: Iterable[Manifest]) -> dict[tuple[str, str], list[Manifest]]:
    """Who was made from a payload, by stage and payload digest: equal payloads stand for each other in keys."""
    found: dict[tuple[str, str], list[Manifest]] = {}
    for manifest in manifests:
        for ref in inputs_of(manifest):
            found.setdefault((ref.stage, ref.digest), []).append(manifest)
    return found
