"""`dualvla doctor`: look a dataset over before anything is computed from it, or see whether SimplerEnv runs here."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from dualvla_core.errors import ConfigError
from infra.settings import Settings

if TYPE_CHECKING:
    from dualvla_core.episodes.checks import Diagnosis
    from dualvla_core.episodes.examination import Quality

_SHOWN = 12  # episode numbers in a cell, and rows of the quality table
_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    path: Annotated[
        str | None, typer.Argument(metavar="FOLDER|OWNER/NAME", help="The dataset: a folder, or its hub name.")
    ] = None,
    embodiment: Annotated[str | None, typer.Option(help="Shipped embodiment or path of a YAML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON, every episode included.")] = False,
    all_episodes: Annotated[bool, typer.Option("--all", help="List the quality of every episode.")] = False,
    simulator: Annotated[bool, typer.Option("--simulator", help="Check SimplerEnv instead of a dataset.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="With --simulator: first install its driver and assets.")] = False,
) -> None:
    """Check a dataset; exit status 1 when something is broken. Per-episode quality is shown, never summed up."""
    if simulator == (path is not None) or (fix and not simulator):
        raise ConfigError("`dualvla doctor` checks a dataset, named by its path, or SimplerEnv, with --simulator.")
    if path is None:
        typer.echo(_simulator(fix))
        return
    from dualvla_core.episodes.checks import diagnose  # noqa: PLC0415 - what only one command needs is imported there
    from tasks.dataset import dataset_folder  # noqa: PLC0415

    diagnosis = diagnose(dataset_folder(path), embodiment)
    if as_json:
        typer.echo(json.dumps(_plain({**asdict(diagnosis), "sound": diagnosis.is_sound}), indent=1, ensure_ascii=False))
    else:
        _show(diagnosis, all_episodes)
    raise typer.Exit(0 if diagnosis.is_sound else 1)


def _simulator(fix: bool) -> str:
    from infra import simulator  # noqa: PLC0415

    if fix:
        simulator.install(Settings())
    return simulator.check()


def _show(diagnosis: Diagnosis, all_episodes: bool) -> None:
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    checks = Table("check", "result", Column("finding", overflow="fold"), "episodes")
    for check in diagnosis.checks:
        result = f"[{_COLOURS[check.status]}]{check.status}[/]"
        checks.add_row(check.name, result, check.finding.replace("[", r"\["), _numbers(check.episodes))
    console.print(f"{diagnosis.layout}, read as {diagnosis.embodiment or 'nothing'}", highlight=False)
    console.print(checks)
    if diagnosis.qualities:
        console.print(_qualities(diagnosis.qualities, all_episodes))
    found = {status: sum(check.status == status for check in diagnosis.checks) for status in ("error", "warning")}
    console.print(f"{found['error']} errors, {found['warning']} warnings", highlight=False)


def _qualities(qualities: Sequence[Quality], all_episodes: bool) -> Table:
    names = ("episode", "digest", "frames", "seconds", "path", "jerk", "static")
    shown = qualities if all_episodes else qualities[:_SHOWN]
    hidden = len(qualities) - len(shown)
    caption = f"{hidden} more: --all or --json" if hidden else None
    table = Table(*names, caption=caption)
    for each in shown:
        table.add_row(
            str(each.episode_index),
            each.episode[:12],
            str(each.frames),
            f"{each.seconds:.2f}",
            f"{each.path:.3g}",
            f"{each.jerk:.3g}",
            f"{each.static_fraction:.0%}",
        )
    return table


def _numbers(episodes: Sequence[int]) -> str:
    more = f" and {len(episodes) - _SHOWN} more" if len(episodes) > _SHOWN else ""
    return ", ".join(map(str, episodes[:_SHOWN])) + more


def _plain(value: Any) -> Any:
    """Numbers that JSON does not know become null."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
