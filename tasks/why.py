"""Why a stage had to run: what differs from the nearest committed artifact of the same stage, down to its cause."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from infra.artifact_store import ArtifactStore, artifact_prefix
from infra.manifest import ArtifactRef, Manifest, StageRequest

_NEAREST = 12  # earlier artifacts that are compared; the newest of those that share a half of the key
_COMPARED = 4  # changed artifacts of one role that are followed
_SAID = 3  # causes of one changed input that are told


def explain_miss(store: ArtifactStore, request: StageRequest) -> str:
    """One clause naming the parameter, input or version that keeps earlier artifacts of the stage from being used."""
    nearest = nearest_artifact(store, request)
    if nearest is None:
        return "nothing of this stage is committed yet"
    return "; ".join(causes(store, nearest.request, request)) or "its commit was removed meanwhile"


def nearest_artifact(store: ArtifactStore, request: StageRequest) -> Manifest | None:
    """The committed artifact of the same stage that differs least from ``request``, itself excepted.

    Keys tell which artifacts share the recipe or the inputs, so that few manifests are read.
    """
    recipe, _, inputs = request.key.partition("-")
    prefix = artifact_prefix(request.stage, "")
    listed: dict[str, float] = {}
    for info in store.objects.list(prefix):
        key, _, name = info.key.removeprefix(prefix).partition("/")
        if name == "manifest.json" and key != request.key:
            listed[key] = info.modified
    half = [key for key in listed if key.endswith(f"-{inputs}") or key.startswith(f"{recipe}-")]
    newest = sorted(half or listed, key=lambda key: listed[key], reverse=True)[:_NEAREST]
    found = [manifest for manifest in (store.find(request.stage, key) for key in newest) if manifest is not None]
    return min(found, key=lambda other: _distance(request, other.request), default=None)


def causes(store: ArtifactStore, old: StageRequest, new: StageRequest) -> list[str]:
    """What changed from one request to another of the same stage, each changed input followed to what changed it."""
    changes = _own_differences(old, new)
    for role in _changed_roles(old, new):
        earlier, later = old.inputs.get(role, ()), new.inputs.get(role, ())
        deeper = list(dict.fromkeys(_input_causes(store, earlier, later)))
        told = "; ".join(deeper[:_SAID]) + (f"; and {len(deeper) - _SAID} more" if len(deeper) > _SAID else "")
        changes.append(f"input {role} changed" + (f" ({told})" if told else ""))
    return changes + _changed_facts(old, new)


def differences(old: StageRequest, new: StageRequest) -> list[str]:
    """What changed from one request to another of the same stage: version, parameters, inputs."""
    inputs = [f"input {role} changed" for role in _changed_roles(old, new)]
    return _own_differences(old, new) + inputs + _changed_facts(old, new)


def flatten(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _own_differences(old: StageRequest, new: StageRequest) -> list[str]:
    changes = [] if old.version == new.version else [f"stage version {old.version} -> {new.version}"]
    before, after = flatten(old.params), flatten(new.params)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            changes.append(f"parameter {name} {before.get(name)!r} -> {after.get(name)!r}")
    return changes


def _changed_roles(old: StageRequest, new: StageRequest) -> list[str]:
    roles = sorted(old.inputs.keys() | new.inputs.keys())
    return [role for role in roles if _digests(old, role) != _digests(new, role)]


def _changed_facts(old: StageRequest, new: StageRequest) -> list[str]:
    return [f"{role} changed" for role in sorted(new.facts) if old.facts.get(role) != new.facts[role]]


def _input_causes(store: ArtifactStore, old: tuple[ArtifactRef, ...], new: tuple[ArtifactRef, ...]) -> Iterator[str]:
    """Why the artifacts of one role differ; those that both sides have are passed over."""
    if len(old) != len(new):
        yield f"{len(old)} artifacts -> {len(new)}"
    kept = {ref.digest for ref in old} & {ref.digest for ref in new}
    before, after = [[ref for ref in refs if ref.digest not in kept] for refs in (old, new)]
    for earlier, later in zip_longest(before[:_COMPARED], after[:_COMPARED]):
        if earlier is None or later is None or earlier.stage != later.stage:
            continue
        first, second = store.find(earlier.stage, earlier.key), store.find(later.stage, later.key)
        if first is None or second is None:
            yield f"{later.stage}: the earlier artifact is gone"
            continue
        found = causes(store, first.request, second.request)
        yield from (f"{later.stage}: {cause}" for cause in found or ["the same inputs gave another payload"])


def _digests(request: StageRequest, role: str) -> list[str]:
    return [ref.digest for ref in request.inputs.get(role, ())]


def _distance(request: StageRequest, other: StageRequest) -> tuple[int, int]:
    inputs = sum(_digests(request, role) != _digests(other, role) for role in request.inputs)
    facts = sum(other.facts.get(role) != digest for role, digest in request.facts.items())
    return (inputs + facts, len(differences(other, request)))
