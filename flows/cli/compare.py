"""`dualvla compare`: two policies on the same trials, if they were measured alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from dualvla_core.errors import ArtifactError
from dualvla_core.evaluation.comparison import ALL, compare_answers, compare_rollouts, describe, task_intervals
from dualvla_core.evaluation.paired import PairedDifference
from flows.cli.store import find_artifact, settled_store
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from infra.settings import Settings

Name = Annotated[str, typer.Argument(help="A run_rollouts or score_answers artifact: STAGE/KEY, or a part of it.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(compare)


def compare(first: Name, second: Name) -> None:
    """Compare two policies on their common episodes or questions; refuse if the protocols differ, and say where."""
    store = settled_store(Settings())
    one, other = find_artifact(store, first), find_artifact(store, second)
    found = comparisons(store, one, other)
    console = Console()
    console = console if console.is_terminal else Console(width=120)
    console.print(f"first:  {one.ref}\nsecond: {other.ref}", highlight=False)
    console.print(comparison_table(found))
    if one.request.stage == "run_rollouts":
        for each, name in ((one, "first"), (other, "second")):
            console.print(f"{name}, 95 % Wilson intervals: {_told(store, each)}", highlight=False, soft_wrap=True)
    unit = "tasks" if one.request.stage == "run_rollouts" else "questions"
    console.print(
        f"Differences in percentage points with 95 % intervals; {ALL}: a bootstrap over {unit}. "
        "p: exact two-sided sign test on the pairs (McNemar's, for successes).",
        highlight=False,
        soft_wrap=True,
    )


def comparisons(store: ArtifactStore, first: Manifest, second: Manifest) -> dict[str, PairedDifference]:
    """All trials, then each task or category. Raises a `UserError` where there is nothing to compare."""
    stages = {first.request.stage, second.request.stage}
    folders = store.folder(first.ref), store.folder(second.ref)
    if stages == {"run_rollouts"}:
        return compare_rollouts(*folders)
    if stages == {"score_answers"}:
        return compare_answers(*folders, (_answering(store, first), _answering(store, second)))
    raise ArtifactError(
        f"{first.ref} and {second.ref} were given; expected two artifacts of run_rollouts, or two of score_answers."
    )


def comparison_table(found: Mapping[str, PairedDifference]) -> Table:
    """The comparisons as a table."""
    table = Table("", "pairs", "first", "second", "difference", "better : worse", "p")
    for row in describe(found):
        table.add_row(*row)
    return table


def _answering(store: ArtifactStore, scored: Manifest) -> dict[str, Any]:
    """What two scores of a benchmark must share: rule, questions, and how they were asked."""
    questions = store.manifest(scored.request.inputs["questions"][0])
    predictions = store.manifest(scored.request.inputs["predictions"][0])
    asked = predictions.request.params if predictions.request.stage == "predict_answers" else {"prompt": "imported"}
    return {**scored.request.params, "questions": questions.digest, **asked}


def _told(store: ArtifactStore, rollouts: Manifest) -> str:
    rates = task_intervals(store.folder(rollouts.ref))
    return ", ".join(
        f"{task} {100 * rate:.0f} [{100 * interval.low:.0f}, {100 * interval.high:.0f}]"
        for task, (rate, interval) in rates.items()
    )
