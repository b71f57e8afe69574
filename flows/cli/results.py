"""`dualvla results`: what was measured, in the columns of the paper's tables, and the published rows apart from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.tables import OVERVIEW, OVERVIEW_FILE, read_rows
from dualvla_core.evaluation.comparison import task_intervals
from dualvla_core.evaluation.paper_tables import (
    TASK_COLUMNS,
    PublishedTable,
    TableName,
    own_line,
    published_lines,
    published_table,
)
from dualvla_core.evaluation.protocol import read_protocol
from flows.cli.store import find_artifact, settled_store
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from infra.settings import Settings

Names = Annotated[
    list[str], typer.Argument(help="Artifacts of run_rollouts (on SimplerEnv) or summarise_benchmarks: STAGE/KEY.")
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(results)


def results(artifacts: Names) -> None:
    """Print artifacts as lines of the paper's tables, then what others have published."""
    store = settled_store(Settings())
    print_results(store, [find_artifact(store, name) for name in artifacts])


def print_results(store: ArtifactStore, manifests: Sequence[Manifest]) -> None:
    """Print a line per policy, filled by the columns of several artifacts; a column measured twice begins another."""
    lines: dict[TableName, dict[str, dict[str, float]]] = {}
    for manifest in manifests:
        table, label, cells = measured(store, manifest)
        own = lines.setdefault(table, {})
        if own.get(label, {}).keys() & cells.keys():
            label = f"{label}, {manifest.key}"
        own.setdefault(label, {}).update(cells)
    console = Console()
    console = console if console.is_terminal else Console(width=160)
    for table, own in lines.items():
        _print(console, published_table(table), own)


def measured(store: ArtifactStore, manifest: Manifest) -> tuple[TableName, str, dict[str, float]]:
    """The table an artifact belongs to, its label, and its percentages by column."""
    folder, stage = store.folder(manifest.ref), manifest.request.stage
    if stage == "summarise_benchmarks":
        rows = read_rows(folder / OVERVIEW_FILE, OVERVIEW)
        known = [row for row in rows if row["benchmark"] in CATALOGUE and row["score"] is not None]
        return "multimodal", manifest.key, {CATALOGUE[row["benchmark"]].title: row["score"] for row in known}
    if stage == "run_rollouts":
        rates = task_intervals(folder)
        cells = {TASK_COLUMNS[task]: 100 * rate for task, (rate, _) in rates.items() if task in TASK_COLUMNS}
        if not cells:
            raise ArtifactError(
                f"The tasks of {manifest.ref} ({', '.join(rates)}) are no columns of the paper; expected some of "
                f"{', '.join(TASK_COLUMNS)}."
            )
        protocol = read_protocol(folder)
        (policy,) = manifest.request.inputs["policy"]
        stand_in = ", stand-in assets" if protocol.stand_in_assets else ""
        return "simpler_env", f"{policy.key} ({protocol.benchmark}{stand_in})", cells
    raise ArtifactError(f"{manifest.ref} holds no results; give artifacts of run_rollouts or summarise_benchmarks.")


def _print(console: Console, table: PublishedTable, own: Mapping[str, Mapping[str, float]]) -> None:
    headers = ["", *table.columns, "Average"]
    mine, theirs = Table(*headers, title="Measured here"), Table(*headers, title=f"Published: {table.source}")
    for label, cells in own.items():
        mine.add_row(label, *own_line(table, cells))
    for line in published_lines(table):
        theirs.add_row(*line)
    console.print(mine, theirs)
    if any(row.other_columns for row in table.rows.values()):
        console.print("* as printed, but not the mean of these columns: not comparable.", highlight=False)
