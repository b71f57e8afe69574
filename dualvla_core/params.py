"""The base of every configuration model: frozen, closed to unknown keys, and drawn as a form by Prefect."""

from __future__ import annotations

from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

Summary: TypeAlias = dict[str, int | float | str]
"""A few scalars a stage says about its output; they are committed with it and shown to people."""


class Params(BaseModel):
    """A frozen group of parameters; every field carries a description with its unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
