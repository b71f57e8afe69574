"""Digests of values and files: the one definition that keys, payloads and identities share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RECIPE_LENGTH = 12
INPUTS_LENGTH = 20


def digest_json(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of ``value``: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recipe_digest(stage: str, version: int, params: Mapping[str, Any]) -> str:
    """What is done, without what it is done to: the first half of every key."""
    return digest_json({"stage": stage, "version": version, "params": params})[:RECIPE_LENGTH]


def artifact_key(recipe: str, inputs: Mapping[str, list[str]]) -> str:
    """The key of an artifact: its recipe, and the payload digests of its inputs, joined by a dash."""
    return f"{recipe}-{digest_json(inputs)[:INPUTS_LENGTH]}"
