"""What a run was told, which artifacts it used and how it ended, kept beside the artifacts.

Layout::

    runs/<id>/run.json                       configuration, state, report
    runs/<id>/executed/<stage>/<key>.json    an artifact this run made, with the reason
    runs/<id>/reused/<stage>/<key>.json      an artifact it found
    work/<id>/lease.json                     whether it is alive

Uses are written one by one by whichever process works, so a killed run has left all of them. Prefect's database holds
nothing that is not here.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import Field

from dualvla_core.errors import ArtifactError
from dualvla_core.params import Params
from infra.lease import is_held
from infra.manifest import ArtifactRef
from infra.object_store import MissingObjectError, ObjectStore

RUN_FORMAT = 1
State = Literal["running", "completed", "failed"]


class RunRecord(Params):
    """One run of a flow."""

    format: int = Field(default=RUN_FORMAT, description="The format of this record.")
    id: str = Field(description="When it began, which flow, which configuration; sorts by time.")
    flow: str = Field(description="The flow's name.")
    name: str = Field(description="The configuration's name.")
    config: dict[str, Any] = Field(description="The whole configuration.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="What else the flow was given, by name.")
    host: str = Field(description="Where it was started.")
    started: str = Field(description="UTC, ISO 8601.")
    finished: str | None = Field(default=None, description="UTC, ISO 8601; none while it runs, or if it was killed.")
    state: State = Field(default="running", description="As the run itself knows it.")
    message: str = Field(default="", description="Why it failed.")
    report: ArtifactRef | None = Field(default=None, description="The report it published.")
    resumes: str | None = Field(default=None, description="The run it continues.")
    flow_run: str | None = Field(default=None, description="Its id in Prefect.")


class Use(Params):
    """One artifact in one run."""

    ref: ArtifactRef = Field(description="The artifact.")
    executed: bool = Field(description="Made by this run, not found.")
    reason: str = Field(default="", description="Why it had to be made.")


def new_run_id(flow: str, name: str, now: datetime) -> str:
    """A readable id, unique, that sorts by time."""
    plain = "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name).strip("-")[:60]
    return f"{now.strftime('%Y%m%d-%H%M%S')}-{flow}-{plain or 'run'}-{secrets.token_hex(2)}"


def utc_now() -> str:
    """The time, as records hold it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def save_run(store: ObjectStore, record: RunRecord) -> None:
    """Write a run's record, replacing its last state."""
    store.put(f"runs/{record.id}/run.json", record.model_dump_json(indent=1).encode())


def mark_use(store: ObjectStore, run_id: str, use: Use) -> None:
    """Remember that a run used an artifact."""
    how = "executed" if use.executed else "reused"
    body = {"digest": use.ref.digest, "reason": use.reason}
    store.put(f"runs/{run_id}/{how}/{use.ref}.json", json.dumps(body).encode())


def runs(store: ObjectStore) -> list[RunRecord]:
    """Every run, the oldest first."""
    keys = [info.key for info in store.list("runs/") if info.key.endswith("/run.json")]
    return [_read(store, key) for key in keys]


def find_run(store: ObjectStore, name: str) -> RunRecord:
    """The run of this id or unambiguous part of one; "last" is the newest. Raises `ArtifactError`."""
    known = runs(store)
    exact = [record for record in known if record.id == name]
    found = exact or (known[-1:] if name == "last" else [record for record in known if name in record.id])
    if len(found) == 1:
        return found[0]
    if found:
        raise ArtifactError(f"{name!r} fits {len(found)} runs, such as {found[-1].id}; give more of the id.")
    raise ArtifactError(f"There is no run {name!r} in {store.uri}; `dualvla runs ls` lists them.")


def uses(store: ObjectStore, run_id: str) -> Iterator[Use]:
    """The artifacts a run made or found, by stage and key."""
    for info in store.list(f"runs/{run_id}/"):
        parts = info.key.split("/")
        if len(parts) != 5:
            continue
        _, _, how, stage, name = parts
        body = json.loads(store.get(info.key))
        ref = ArtifactRef(stage=stage, key=name.removesuffix(".json"), digest=body["digest"])
        yield Use(ref=ref, executed=how == "executed", reason=body["reason"])


def used_refs(store: ObjectStore, run_id: str) -> list[tuple[str, str]]:
    """Stage and key of every artifact of a run, without reading a use."""
    found = [info.key.split("/") for info in store.list(f"runs/{run_id}/")]
    return [(parts[3], parts[4].removesuffix(".json")) for parts in found if len(parts) == 5]


def is_alive(store: ObjectStore, record: RunRecord) -> bool:
    """Whether the run still works, by its lease: a killed run has not said that it ended."""
    return record.state == "running" and is_held(store, record.id)


def describe_state(store: ObjectStore, record: RunRecord) -> str:
    """`running`, `completed`, `failed`, or `died` for a run that was killed."""
    return "died" if record.state == "running" and not is_alive(store, record) else record.state


def _read(store: ObjectStore, key: str) -> RunRecord:
    try:
        record = RunRecord.model_validate_json(store.get(key))
    except (ValueError, MissingObjectError) as error:
        raise ArtifactError(f"The run record {key} cannot be read: {error}; delete it to go on without it.") from error
    if record.format != RUN_FORMAT:
        raise ArtifactError(f"{key} has format {record.format}, this version reads {RUN_FORMAT}; use a newer version.")
    return record
