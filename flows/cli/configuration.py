"""Turns presets, files and overrides of the command line into a configuration."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from dualvla_core.errors import ConfigError
from dualvla_core.pipeline_config import Layer, ResolvedConfig, parse_override, resolve_config

Preset = Annotated[str, typer.Option(help="A shipped preset, or the path of a YAML file with the same keys.")]
Overrides = Annotated[
    list[str], typer.Option("--set", metavar="NAME=VALUE", help="Change one value: pruning.rule=action_only.")
]


def preset_names() -> list[str]:
    """The presets that ship with the project."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in files("flows.presets").iterdir() if _is_yaml(entry.name)
    )


def configure(preset: str, overrides: list[str], options: dict[str, Any] | None = None) -> ResolvedConfig:
    """Defaults, then the preset, then command-line options, then overrides; the last one wins."""
    layers = [_preset_layer(preset)]
    layers += [Layer("command line", options)] if options else []
    return resolve_config([*layers, *(parse_override(text) for text in overrides)])


def _preset_layer(preset: str) -> Layer:
    if preset in preset_names():
        text = (files("flows.presets") / f"{preset}.yaml").read_text()
    elif Path(preset).is_file():
        text = Path(preset).read_text()
    else:
        raise ConfigError(
            f"There is no preset {preset!r}; expected one of {', '.join(preset_names())}, or the path of a YAML file."
        )
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ConfigError(f"The preset {preset!r} is no valid YAML: {error}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"The preset {preset!r} holds a {type(values).__name__}; expected names with values.")
    return Layer(f"preset {preset}", values)


def _is_yaml(name: str) -> bool:
    return name.endswith(".yaml")
