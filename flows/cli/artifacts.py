"""`dualvla artifacts`: what is stored, why, made from what; what to keep and what to delete."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Column, Table

from dualvla_core.errors import ArtifactError
from flows.cli.store import find_artifact, settled_store
from flows.cli.tables import human_size, print_wide, summary_line
from infra import garbage, pins
from infra.artifact_store import ArtifactStore
from infra.manifest import Manifest
from infra.run_record import find_run, runs, uses
from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look into the artifact store, and tidy it.")
Name = Annotated[str, typer.Argument(metavar="ARTIFACT", help="STAGE/KEY, or an unambiguous part of it.")]
Kept = Annotated[int, typer.Option("--keep-last", min=1, help="How many of the newest runs keep what they reach.")]


@app.command()
def ls(stage: Annotated[str, typer.Option(help="Only this stage.")] = "") -> None:
    """List artifacts, with the time of their commit."""
    store = settled_store(Settings())
    kept = {pin.target: pin.name for pin in pins.pins(store.objects)}
    table, total = Table("artifact", "committed", Column("size", justify="right"), "summary", "pin"), 0
    for info in store.objects.list(f"artifacts/{stage}/" if stage else "artifacts/"):
        if not info.key.endswith("/manifest.json"):
            continue
        manifest = find_artifact(store, info.key.removeprefix("artifacts/").removesuffix("/manifest.json"))
        when = datetime.fromtimestamp(info.modified, UTC).strftime("%Y-%m-%d %H:%M")
        name, numbers = str(manifest.ref), summary_line(manifest.summary)
        table.add_row(name, when, human_size(manifest.size), numbers, kept.get(name, ""))
        total += manifest.size
    print_wide(table)
    typer.echo(f"{table.row_count} artifacts, {human_size(total)} in {store.objects.uri}")


@app.command()
def show(name: Name) -> None:
    """Everything an artifact says about itself."""
    store = settled_store(Settings())
    manifest = find_artifact(store, name)
    request, record = manifest.request, store.run_record(manifest)
    typer.echo(f"{manifest.ref}\npayload {manifest.digest}, {human_size(manifest.size)}, {manifest.attempt}")
    typer.echo(f"made {record['started']} on {record['host']} in {record['seconds']} s by dualvla {record['dualvla']}")
    table = Table("what", "name", Column("value", overflow="fold"), title=f"{request.stage}, version {request.version}")
    from tasks.why import flatten  # noqa: PLC0415 - loads Prefect

    rows: list[tuple[str, str, object]] = [("summary", *pair) for pair in manifest.summary.items()]
    rows += [("parameter", *pair) for pair in flatten(request.params).items()]
    rows += [("input", role, ref) for role, refs in request.inputs.items() for ref in refs]
    rows += [("read", *pair) for pair in request.facts.items()]
    rows += [("provenance", *pair) for pair in flatten(record["provenance"]).items()]
    rows += [("file", path, human_size(entry.size)) for path, entry in manifest.files.items()]
    for what, label, value in rows:
        table.add_row(what, label, str(value))
    print_wide(table)


@app.command()
def why(
    name: Annotated[str, typer.Argument(metavar="RUN|ARTIFACT", help="A run's id, `last`, or STAGE/KEY.")] = "last",
    stage: Annotated[str, typer.Option(help="Of a run, only this stage.")] = "",
) -> None:
    """Why a run executed what it executed, or why an artifact was not taken from an earlier one."""
    store = settled_store(Settings())
    if "/" in name:
        _why_artifact(store, find_artifact(store, name))
        return
    record = find_run(store.objects, name)
    table = Table("stage", "artifact", "result", Column("why", overflow="fold"))
    for use in sorted(uses(store.objects, record.id), key=lambda use: (use.ref.stage, use.ref.key)):
        if stage in {"", use.ref.stage}:
            reason = use.reason if use.executed else "same version, parameters and inputs were committed before"
            table.add_row(use.ref.stage, use.ref.key, "miss" if use.executed else "hit", reason)
    print_wide(table)


@app.command()
def lineage(
    name: Annotated[str, typer.Argument(metavar="ARTIFACT|RUN|EPISODE", help="Where to start.")],
    forward: Annotated[bool, typer.Option("--forward", help="What was made from it instead.")] = False,
) -> None:
    """Walk from a report to the episodes (with the numbers on the way), or from an episode to the reports."""
    from flows.cli.lineage_tree import backward_tree, forward_tree, start_of  # noqa: PLC0415 - loads Prefect

    store = settled_store(Settings())
    manifest, episode = start_of(store, name)
    tree = forward_tree(store, manifest, episode) if forward or episode else backward_tree(store, manifest)
    print_wide(tree)


@app.command()
def diff(one: Name, other: Name) -> None:
    """What differs between two artifacts of a stage: what they were made of, and what came out."""
    store = settled_store(Settings())
    first, second = find_artifact(store, one), find_artifact(store, other)
    if first.request.stage != second.request.stage:
        raise ArtifactError(f"{first.ref} and {second.ref} are of different stages; give two of one stage.")
    from tasks.why import causes  # noqa: PLC0415 - loads Prefect

    for cause in causes(store, first.request, second.request) or ["made of the same"]:
        typer.echo(cause)
    table = Table("result", str(first.key), str(second.key))
    for label in sorted(first.summary.keys() | second.summary.keys()):
        before, after = first.summary.get(label, ""), second.summary.get(label, "")
        if before != after:
            table.add_row(label, str(before), str(after))
    for path in sorted(first.files.keys() | second.files.keys()):
        sides = [manifest.files.get(path) for manifest in (first, second)]
        if sides[0] != sides[1]:
            table.add_row(path, *(human_size(side.size) if side else "absent" for side in sides))
    if table.row_count:
        print_wide(table)
    else:
        typer.echo("The payloads are the same.")


@app.command()
def pin(
    target: Annotated[str, typer.Argument(metavar="ARTIFACT|RUN", help="What to keep; nothing lists the pins.")] = "",
    name: Annotated[str, typer.Option("--as", help="The pin's name; otherwise the target's.")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="Let go of the pin of this name.")] = False,
) -> None:
    """Keep an artifact or a run, and all it reaches, from garbage collection."""
    store = settled_store(Settings())
    if remove:
        pins.unpin(store.objects, name or target)
    elif target:
        kept = str(find_artifact(store, target).ref) if "/" in target else find_run(store.objects, target).id
        pins.pin(store.objects, name or kept, kept)
    for each in pins.pins(store.objects):
        typer.echo(f"{each.name}  ->  {each.target}  ({each.pinned})")


@app.command()
def gc(
    keep_last: Kept,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
) -> None:
    """Delete what no pin and none of the newest runs reaches, and what killed attempts left behind."""
    store = settled_store(Settings())
    if not runs(store.objects):
        raise ArtifactError(
            f"No run is recorded in {store.objects.uri}, so nothing says what is needed; run something first."
        )
    if dry_run:
        _tell_garbage(list(garbage.find_garbage(store, keep_last)), "would be deleted")
        return
    with garbage.collecting(store):
        found = list(garbage.find_garbage(store, keep_last))
        garbage.delete_garbage(store, found)
    _tell_garbage(found, "deleted")


@app.command()
def verify(
    name: Annotated[str, typer.Argument(metavar="ARTIFACT", help="STAGE/KEY or a part; nothing verifies all.")] = "",
) -> None:
    """Read artifacts from the store and compare every byte's digest with the commit; damaged ones are withdrawn."""
    store = settled_store(Settings())
    chosen = [find_artifact(store, name)] if name else list(store.manifests())
    damaged = [key for manifest in chosen for key in store.verify(manifest)]
    for key in damaged:
        typer.echo(f"damaged: {key}")
    size = human_size(sum(manifest.size for manifest in chosen))
    if damaged:
        raise ArtifactError(
            f"{len(damaged)} objects of {store.objects.uri} do not hold what was committed; their artifacts were "
            "withdrawn: run again, and they will be computed anew."
        )
    typer.echo(f"{len(chosen)} artifacts, {size}: every byte is as it was committed.")


def _why_artifact(store: ArtifactStore, manifest: Manifest) -> None:
    from tasks.why import causes, nearest_artifact  # noqa: PLC0415 - loads Prefect

    nearest = nearest_artifact(store, manifest.request)
    if nearest is None:
        typer.echo("It is the only one of its stage.")
        return
    typer.echo(f"Compared with the nearest other artifact of its stage, {nearest.ref}:")
    for cause in causes(store, nearest.request, manifest.request):
        typer.echo(f"  {cause}")


def _tell_garbage(found: list[garbage.Garbage], what: str) -> None:
    if found:
        table = Table("what", "why", Column("objects", justify="right"), Column("size", justify="right"))
        for each in found:
            table.add_row(each.name, each.reason, str(len(each.keys)), human_size(each.size))
        print_wide(table)
    typer.echo(f"{sum(len(each.keys) for each in found)} objects, {human_size(sum(e.size for e in found))} {what}.")
