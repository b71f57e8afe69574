"""Stands for the package of that name: what of it SimplerEnv's episodes are played through."""

from __future__ import annotations

from pathlib import Path

ASSET_DIR = Path("data")
