"""The reason for a miss names what changed against the nearest earlier request."""

from __future__ import annotations

from infra.manifest import ArtifactRef, StageRequest
from tasks.why import differences

BASE = StageRequest(
    stage="s",
    version=1,
    params={"flow": {"size": 128}, "name": "a"},
    inputs={"segment": (ArtifactRef(stage="d", key="k", digest="1"),)},
    facts={"files": "f"},
)


def test_names_a_nested_parameter() -> None:
    new = BASE.model_copy(update={"params": {"flow": {"size": 64}, "name": "a"}})
    assert differences(BASE, new) == ["parameter flow.size 128 -> 64"]


def test_names_version_input_and_fact() -> None:
    other = (ArtifactRef(stage="d", key="k", digest="2"),)
    new = BASE.model_copy(update={"version": 2, "inputs": {"segment": other}, "facts": {"files": "g"}})
    assert differences(BASE, new) == ["stage version 1 -> 2", "input segment changed", "files changed"]


def test_the_same_request_differs_in_nothing() -> None:
    assert differences(BASE, BASE) == []
