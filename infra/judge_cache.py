"""Keeps every verdict of a vision-language judge in the object store, beside the artifacts."""

from __future__ import annotations

from pydantic import ValidationError

from dualvla_core.vla_score.judge import Judgement
from infra.object_store import MissingObjectError, ObjectStore


class ObjectVerdictStore:
    """Implements `VerdictStore`: a JSON object per digest under ``verdicts/``; machines with one store share them."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def get(self, digest: str) -> Judgement | None:
        """See `VerdictStore.get`; one that cannot be read is asked for anew."""
        try:
            return Judgement.model_validate_json(self._objects.get(_key(digest)))
        except (MissingObjectError, ValidationError):
            return None

    def put(self, digest: str, judgement: Judgement) -> None:
        """See `VerdictStore.put`."""
        self._objects.put(_key(digest), judgement.model_dump_json(indent=1).encode())


def _key(digest: str) -> str:
    return f"verdicts/{digest[:2]}/{digest}.json"
