"""`dualvla kb`: the judge's knowledge base, proposed by a judge and refined by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dualvla_core.vla_score.judge import DIMENSIONS
from dualvla_core.vla_score.knowledge import KnowledgeBuildConfig, read_knowledge_base
from flows.cli.configuration import Overrides, Preset
from flows.cli.judge import Rollouts, artifacts, execute_judging, existing, named_rollouts
from flows.cli.run import Force
from infra.judge import KNOWLEDGE_STAGES, named_artifact

app = typer.Typer(no_args_is_help=True, help="The judge's knowledge base.")

Base = Annotated[str, typer.Argument(help="Artifact STAGE/KEY of a knowledge base.")]


@app.command()
def build(
    preset: Preset = "demo",
    rollouts: Rollouts = [],  # noqa: B006 - typer reads the default
    size: Annotated[int, typer.Option(help="Attempts to hold.")] = 100,
    overrides: Overrides = [],  # noqa: B006
    force: Force = [],  # noqa: B006
) -> None:
    """Choose diverse attempts from the store and have the configured judge propose grades."""
    wanted = KnowledgeBuildConfig(size=size)
    execute_judging("kb-build", (preset, overrides, force), named_rollouts(rollouts), wanted)


@app.command()
def review(
    base: Base,
    csv: Annotated[Path, typer.Argument(help="The review file, filled in.")],
    force: Force = [],  # noqa: B006
) -> None:
    """Apply a person's corrections; the result is a new version of the base."""
    ref, file = named_artifact(artifacts(), base, KNOWLEDGE_STAGES), existing(csv)
    execute_judging("kb-review", ("demo", [], force), ref, file)


@app.command()
def show(
    base: Annotated[str | None, typer.Argument(help="Artifact of a base; without it, all are listed.")] = None,
) -> None:
    """List the knowledge bases in the store, or the attempts of one."""
    store = artifacts()
    if base is None:
        table = Table("knowledge base", "attempts", "reviewed")
        for stage in KNOWLEDGE_STAGES:
            for manifest in store.manifests(stage):
                table.add_row(str(manifest.ref), *(str(manifest.summary[name]) for name in ("attempts", "reviewed")))
    else:
        table = Table("task", "seed", "policy", "success", *DIMENSIONS, "reviewer")
        for entry in read_knowledge_base(store.folder(named_artifact(store, base, KNOWLEDGE_STAGES))):
            one = entry.trajectory
            grades = [
                str(getattr(entry.verdict, name) if getattr(entry.verdict, name) is not None else "")
                for name in DIMENSIONS
            ]
            table.add_row(one.task, str(one.seed), one.policy_type, str(one.success), *grades, entry.reviewer or "")
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
