"""Turns presets, files and overrides of the command line into a configuration; protocols are read alike."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import typer
import yaml

from dualvla_core.errors import ConfigError
from dualvla_core.pipeline_config import Layer, ResolvedConfig, parse_override, resolve_config

Kind: TypeAlias = Literal["preset", "protocol"]
"""What ships as YAML files: parameters of the pipeline, and trials to play."""

Preset = Annotated[str, typer.Option(help="A shipped preset, or the path of a YAML file with the same keys.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="NAME=VALUE", help="Change one value: pruning.rule=action_only.")
]


def shipped(kind: Kind) -> list[str]:
    """The names of the presets, or protocols, that ship with the project."""
    found = (entry.name for entry in files(f"flows.{kind}s").iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def configure(preset: str, overrides: list[str], options: dict[str, Any] | None = None) -> ResolvedConfig:
    """Defaults, then the preset, then command-line options, then overrides; the last one wins."""
    layers = [Layer(f"preset {preset}", read_values("preset", preset))]
    layers += [Layer("command line", options)] if options else []
    return resolve_config([*layers, *(parse_override(text) for text in overrides)])


def read_values(kind: Kind, name: str) -> dict[str, Any]:
    """What a shipped preset or protocol says, or the YAML file of that path.

    Raises `ConfigError` where there is none, or where it holds no names with values.
    """
    if name in shipped(kind):
        content = (files(f"flows.{kind}s") / f"{name}.yaml").read_bytes()
    elif Path(name).is_file():
        content = Path(name).read_bytes()
    else:
        known = ", ".join(shipped(kind))
        raise ConfigError(f"There is no {kind} {name!r}; expected one of {known}, or the path of a YAML file.")
    try:
        values = yaml.safe_load(content) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"The {kind} {name!r} is no valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"The {kind} {name!r} holds a {type(values).__name__}; expected names with values.")
    return values
