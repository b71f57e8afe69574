"""`dualvla estimate`: how large a policy is and what memory training it takes, before anything is fetched."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from flows.cli.configuration import Overrides, configure
from flows.cli.tables import human_size, print_wide

_PROCESSES = (1, 2, 4, 8, 16, 64)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(estimate)


def estimate(
    preset: Annotated[str, typer.Argument(help="A shipped preset, or the path of a YAML file with the same keys.")],
    state: Annotated[int, typer.Option(min=1, help="Dimensions of the robot's state.")] = 8,
    action: Annotated[int, typer.Option(min=1, help="Dimensions of an action.")] = 7,
    cameras: Annotated[int, typer.Option(min=1, help="Cameras of an observation.")] = 1,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
) -> None:
    """Print what a preset's policy is made of, what of it trains, and ZeRO's memory by stage and processes."""
    from dualvla_core.models.estimate import STAGES, Robot, measure_policy, training_bytes  # noqa: PLC0415 - torch

    learning = configure(preset, overrides).config.learning
    size = measure_policy(learning.model, Robot(state, action, cameras))
    parts = Table("module", "parameters", "trainable")
    for part in size.parts:
        parts.add_row(part.module, f"{part.parameters:,}", f"{part.trainable:,}")
    parts.add_section()
    parts.add_row("all", f"{size.parameters:,}", f"{size.trainable:,}")
    print_wide(parts)
    shapes = Table("tensor", "shape")
    for name, shape in size.shapes.items():
        shapes.add_row(name, shape.replace("[", r"\["))
    print_wide(shapes)
    precision = learning.student.precision
    memory = Table("ZeRO stage", *(f"{count} process{'es' * (count > 1)}" for count in _PROCESSES))
    for stage in STAGES:
        row = (human_size(training_bytes(size, stage, count, precision)) for count in _PROCESSES)
        memory.add_row(str(stage), *row)
    print_wide(memory)
    typer.echo(
        f"Per process, {precision}: weights, gradients and Adam's state. Activations, and the teachers of a "
        "distillation, come on top."
    )
