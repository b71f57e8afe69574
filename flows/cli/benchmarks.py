"""`dualvla benchmarks`: score predictions without asking a policy, and hand them on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import DownloadColumn, Progress
from rich.table import Column, Table

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.evaluation.benchmarks.catalogue import CATALOGUE
from dualvla_core.evaluation.benchmarks.config import BenchmarkConfig, TextJudgeConfig
from dualvla_core.evaluation.benchmarks.tables import GROUPS, GROUPS_FILE, read_rows
from dualvla_core.evaluation.tables import ANSWERS, ANSWERS_FILE
from flows.cli.store import find_artifact, settled_store
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from infra.prefect.server import prefect_server
from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Multimodal benchmarks: list, download, score, show, export.")
_SHOWN = 20  # answers that could not be read, printed; the table in the artifact holds all

Scored = Annotated[str, typer.Argument(help="A score_answers artifact: STAGE/KEY, or a part of it.")]


@app.command(name="list")
def list_benchmarks() -> None:
    """The benchmarks of the paper: file name, how they are asked and scored, published checksum."""
    table = Table("benchmark", "file", "asked", "rule", "counted", "MD5 of the published file")
    for name, known in CATALOGUE.items():
        table.add_row(known.title, f"{name}.tsv", known.prompt, known.rule, known.split or "all", known.md5)
    _console().print(table)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="A benchmark of the list, such as MMStar.")],
    folder: Annotated[Path, typer.Argument(help="Where to put its file.")],
) -> None:
    """Fetch a published file and check that it is the published one (needs a network)."""
    from infra.benchmark_files import download_benchmark  # noqa: PLC0415

    with Progress(*Progress.get_default_columns(), DownloadColumn(), transient=True) as bar:
        task = bar.add_task(name, total=None)
        path = download_benchmark(
            name, folder, lambda done, total: bar.update(task, completed=done, total=total or None)
        )
    typer.echo(str(path))


@app.command()
def score(
    predictions: Annotated[Path, typer.Argument(help="Prediction file: .xlsx, .tsv or .json.")],
    data: Annotated[Path, typer.Option(help="The benchmark's TSV file.")],
    benchmark: Annotated[str, typer.Option(help="Its name; by default that of the file.")] = "",
    rule: Annotated[str | None, typer.Option(help="Scoring rule; for benchmarks of the list it is known.")] = None,
    split: Annotated[str | None, typer.Option(help="The split that counts.")] = None,
    judge: Annotated[str | None, typer.Option(help="Model that grades free answers, at DUALVLA_JUDGE_URL.")] = None,
    force: Annotated[bool, typer.Option(help="Score again: what a failed judge left out is asked again.")] = False,
) -> None:
    """Score predictions that VLMEvalKit (or `dualvla benchmarks export`) has written."""
    wanted = _benchmark(benchmark or data.stem, data, rule, split)
    grader = None if judge is None else TextJudgeConfig(model=judge)
    settings = Settings()
    with prefect_server(settings):
        from flows.benchmarks import PredictionFile  # noqa: PLC0415 - Prefect reads its address when it is imported
        from flows.benchmarks import score as score_flow  # noqa: PLC0415
        from flows.cli.run import run_context  # noqa: PLC0415

        config = PredictionFile(benchmark=wanted, path=str(predictions.resolve()), judge=grader)
        scored = score_flow(config, run_context(settings, ["score_answers"] if force else []))
    store = settled_store(settings)
    _show(store, store.manifest(scored))


@app.command()
def show(scored: Scored) -> None:
    """Scores per group, and the answers that could not be read."""
    store = settled_store(Settings())
    _show(store, _scored(store, scored))


@app.command()
def export(scored: Scored, file: Annotated[Path, typer.Argument(help="File to write: .xlsx, .tsv or .json.")]) -> None:
    """Write predictions as VLMEvalKit reads them, to be scored elsewhere."""
    from dualvla_core.evaluation.benchmarks.prediction_files import export_predictions  # noqa: PLC0415

    store = settled_store(Settings())
    inputs = _scored(store, scored).request.inputs
    count = export_predictions(store.folder(inputs["questions"][0]), store.folder(inputs["predictions"][0]), file)
    typer.echo(f"{file}: {count} predictions")


def _benchmark(name: str, data: Path, rule: str | None, split: str | None) -> BenchmarkConfig:
    given: dict[str, Any] = {"name": name, "path": str(data.resolve())}
    given |= {} if rule is None else {"rule": rule}
    given |= {} if split is None else {"split": split}
    if name not in CATALOGUE:
        given["prompt"] = "question"
        if rule is None:
            raise ConfigError(
                f"{name!r} is none of {', '.join(CATALOGUE)}; say which one it is with --benchmark, or give a --rule."
            )
    try:
        return BenchmarkConfig.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"The {first['loc'][0]} {first['input']!r} does not fit: {first['msg']}.") from error


def _scored(store: ArtifactStore, name: str) -> Manifest:
    manifest = find_artifact(store, name)
    if manifest.request.stage != "score_answers":
        raise ArtifactError(f"{manifest.ref} holds no scored answers; give an artifact of score_answers.")
    return manifest


def _show(store: ArtifactStore, manifest: Manifest) -> None:
    folder, console = store.folder(manifest.ref), _console()
    table = Table("split", "level", "group", "items", "missing", "unparsed", "score", "95 %")
    for row in read_rows(folder / GROUPS_FILE, GROUPS):
        score = "incomplete" if row["score"] is None else f"{100 * row['score']:.1f}"
        interval = "" if row["score"] is None else f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        counts = (str(row[name]) for name in ("items", "missing", "unparsed"))
        table.add_row(row["split"] or "reported", row["level"], row["name"], *counts, score, interval)
    console.print(table)
    _show_notes(console, [row for row in read_rows(folder / ANSWERS_FILE, ANSWERS) if row["note"]])
    console.print(f"{manifest.ref}\n{folder}", highlight=False, soft_wrap=True)


def _show_notes(console: Console, noted: list[dict[str, Any]]) -> None:
    if not noted:
        return
    table = Table("question", Column("answer", overflow="fold"), Column("why", overflow="fold"))
    for row in noted[:_SHOWN]:
        table.add_row(row["index"], repr(row["answer"])[:120], row["note"])
    console.print(f"{len(noted)} answers could not be read or graded; the first {min(_SHOWN, len(noted))}:")
    console.print(table)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=140)
