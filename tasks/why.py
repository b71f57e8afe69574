"""Why a stage has to run: what differs from the nearest committed artifact of the same stage."""

from __future__ import annotations

from typing import Any

from infra.artifact_store import ArtifactStore
from infra.manifest import StageRequest


def explain_miss(store: ArtifactStore, request: StageRequest) -> str:
    """One clause naming the parameter, input or version that keeps earlier artifacts of the stage from being used."""
    candidates = [manifest.request for manifest in store.manifests(request.stage)]
    if not candidates:
        return "nothing of this stage is committed yet"
    nearest = min(candidates, key=lambda other: _distance(request, other))
    return "; ".join(differences(nearest, request)) or "its commit was removed meanwhile"


def differences(old: StageRequest, new: StageRequest) -> list[str]:
    """What changed from one request to another of the same stage: version, parameters, inputs."""
    changes = [] if old.version == new.version else [f"stage version {old.version} -> {new.version}"]
    before, after = flatten(old.params), flatten(new.params)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            changes.append(f"parameter {name} {before.get(name)!r} -> {after.get(name)!r}")
    for role in sorted(old.inputs.keys() | new.inputs.keys()):
        if _digests(old, role) != _digests(new, role):
            changes.append(f"input {role} changed")
    changes += [f"{role} changed" for role in sorted(new.facts) if old.facts.get(role) != new.facts[role]]
    return changes


def flatten(params: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested parameters by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _digests(request: StageRequest, role: str) -> list[str]:
    return [ref.digest for ref in request.inputs.get(role, ())]


def _distance(request: StageRequest, other: StageRequest) -> tuple[int, int]:
    inputs = sum(_digests(request, role) != _digests(other, role) for role in request.inputs)
    facts = sum(other.facts.get(role) != digest for role, digest in request.facts.items())
    return (inputs + facts, len(differences(other, request)))
