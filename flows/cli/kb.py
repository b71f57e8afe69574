"""`dualvla kb`: the judge's knowledge base, proposed by a judge and refined by a person."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from flows.cli.configuration import Overrides, Preset
from flows.cli.judge import Rollouts, context, execute_judging, existing, named_rollouts
from flows.cli.run import Force

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
    run = context(force)  # Prefect reads its settings when it is first imported
    from dualvla_core.vla_score.knowledge import KnowledgeBuildConfig  # noqa: PLC0415
    from flows.judge import build_knowledge  # noqa: PLC0415

    wanted = KnowledgeBuildConfig(size=size)
    execute_judging(
        build_knowledge, run, (preset, overrides), named_rollouts(run, rollouts), wanted, page="review.html"
    )


@app.command()
def review(
    base: Base,
    csv: Annotated[Path, typer.Argument(help="The review file, filled in.")],
    force: Force = [],  # noqa: B006
) -> None:
    """Apply a person's corrections; the result is a new version of the base."""
    run, file = context(force), existing(csv)
    from flows.judge import review_knowledge  # noqa: PLC0415
    from infra.judge import KNOWLEDGE_STAGES, named_artifact  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    ref = named_artifact(open_artifacts(run), base, KNOWLEDGE_STAGES)
    execute_judging(review_knowledge, run, ("demo", []), ref, file, page="review.html")


@app.command()
def show(
    base: Annotated[str | None, typer.Argument(help="Artifact of a base; without it, all are listed.")] = None,
) -> None:
    """List the knowledge bases in the store, or the attempts of one."""
    run = context([])
    from dualvla_core.vla_score.judge import DIMENSIONS  # noqa: PLC0415
    from dualvla_core.vla_score.knowledge import read_knowledge_base  # noqa: PLC0415
    from infra.judge import KNOWLEDGE_STAGES, named_artifact  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    store = open_artifacts(run)
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
