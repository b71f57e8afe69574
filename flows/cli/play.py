"""`dualvla play`: closed-loop rollouts of a trained policy under a shipped protocol."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml
from pydantic import ValidationError

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.report.results.measures import read_policy_type
from flows.cli.results import print_results
from flows.cli.store import find_artifact, settled_store
from infra.prefect.server import prefect_server
from infra.settings import Settings

if TYPE_CHECKING:
    from flows.play import Trials

TRAINED = ("train_specialist", "train_generalist", "distill_student")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(play)


def play(
    policy: Annotated[str, typer.Argument(help="A trained policy: STAGE/KEY, or a part of it.")],
    protocol: Annotated[str, typer.Option(help="A shipped protocol, or the path of a YAML file like it.")] = "simpler",
    task: Annotated[list[str], typer.Option(help="Only trials with this task; may be repeated.")] = [],  # noqa: B006
    processes: Annotated[int, typer.Option(min=1, help="Simulators that play at once.")] = 2,
) -> None:
    """Play a policy in closed loop and print its line of the paper's table; finished episodes are kept."""
    settings = Settings()
    store = settled_store(settings)
    manifest = find_artifact(store, policy)
    if manifest.request.stage not in TRAINED:
        raise ArtifactError(f"{manifest.ref} is no trained policy; give an artifact of {', '.join(TRAINED)}.")
    kind = read_policy_type(store.folder(manifest.ref))
    with prefect_server(settings):
        from flows.play import play as play_flow  # noqa: PLC0415 - Prefect reads its address when it is imported
        from flows.recorded import here  # noqa: PLC0415

        rollouts = play_flow(read_protocol(protocol, task), manifest.ref, kind, processes, here(settings))
    played = [store.manifest(each) for each in rollouts]
    for each in played:
        typer.echo(str(each.ref))
    print_results(store, played)


def protocol_names() -> list[str]:
    """The protocols that ship with the project."""
    return sorted(each.name.removesuffix(".yaml") for each in files("flows.protocols").iterdir() if "yaml" in each.name)


def read_protocol(protocol: str, tasks: list[str]) -> Trials:
    """The trials of a protocol, or those among them with one of ``tasks``. Raises `ConfigError` where it says none."""
    from flows.play import Trials  # noqa: PLC0415

    if protocol in protocol_names():
        text = (files("flows.protocols") / f"{protocol}.yaml").read_text()
    elif Path(protocol).is_file():
        text = Path(protocol).read_text()
    else:
        known = ", ".join(protocol_names())
        raise ConfigError(f"There is no protocol {protocol!r}; expected one of {known}, or the path of a YAML file.")
    try:
        values: Any = yaml.safe_load(text)
        found = Trials.model_validate({"trials": values["trials"]})
    except (yaml.YAMLError, ValidationError, TypeError, KeyError) as error:
        detail = " ".join(str(error).split())
        raise ConfigError(f"The protocol {protocol!r} cannot be read ({detail}); expected a list `trials`.") from error
    wanted = tuple(each for each in found.trials if not tasks or set(tasks) & set(each.tasks))
    if not wanted:
        known = ", ".join(name for each in found.trials for name in each.tasks)
        raise ConfigError(f"The protocol {protocol!r} has none of the tasks {', '.join(tasks)}; it has {known}.")
    return Trials(trials=wanted)
