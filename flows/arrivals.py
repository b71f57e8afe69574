"""New demonstrations: hear of them, curate them and nothing else, and train once enough are there."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
from prefect import flow, get_run_logger
from prefect.deployments import run_deployment
from prefect.events import emit_event
from prefect.runtime import flow_run

from dualvla_core import schemas
from dualvla_core.pipeline_config import PipelineConfig
from flows.curate import curate_all, publish
from flows.recorded import here, recorded
from infra.artifact_store import ArtifactStore
from infra.digests import digest_json
from infra.manifest import ArtifactRef
from infra.object_store import MissingObjectError, ObjectStore, open_store
from infra.run_record import runs, used_refs
from infra.settings import Settings
from tasks.publish_report import CurationArtifacts
from tasks.stage import Missing, RunContext, open_artifacts

ARRIVED = "dualvla.demonstrations.arrived"
"""The event; its payload is ``{"dataset": URI}`` and its resource is the dataset."""


def _named(flow_name: str) -> str:
    """A run's name: what it does, and the last part of the dataset's address."""
    return f"{flow_name} {str(flow_run.parameters['dataset']).rstrip('/').rpartition('/')[2]}"


@flow(name="arrivals", flow_run_name=lambda: _named("arrivals"), persist_result=False)
def arrivals(
    dataset: str,
    config: PipelineConfig,
    train_after: int | None = None,
    train_deployment: str | None = None,
    run: RunContext | None = None,
) -> ArtifactRef:
    """Curate a dataset that has grown: only its new episodes are decoded. Training starts after N new episodes.

    Args:
        dataset: Folder or s3:// address of the dataset.
        config: The pipeline's parameters; their dataset is replaced.
        train_after: New episodes since the last training that start the next one; none = never.
        train_deployment: The deployment that trains, as FLOW/NAME.
        run: Where this run keeps things; none = the settings of the machine.
    """
    config = config.model_copy(update={"dataset": config.dataset.model_copy(update={"path": dataset})})
    with recorded("curate", config, run) as context:
        where, curated = curate_all(context, config)
        published = publish(context, config, where, curated, {})
    assert not isinstance(curated, Missing)
    assert not isinstance(published, Missing)
    if train_after and train_deployment:
        _train_when_due(open_artifacts(context), config, curated, train_after, train_deployment)
    return published


@flow(name="watch", flow_run_name=lambda: _named("watch"), persist_result=False)
def watch(dataset: str, run: RunContext | None = None) -> bool:
    """Look at a folder or bucket; tell of its growth once two looks in a row have found it the same.

    Args:
        dataset: Folder or s3:// address of the dataset.
        run: Where this run keeps things; none = the settings of the machine.
    """
    context = run or here(Settings())
    memory = open_artifacts(context).objects
    key = f"memo/watch/{digest_json(dataset)[:20]}.json"
    found = [[info.key, info.size, info.modified] for info in open_store(dataset, context.s3_endpoint).list("")]
    looked = digest_json(found)
    before = _recall(memory, key)
    told = before.get("told")
    arrived = bool(found) and looked == before.get("seen") and looked != told
    if arrived:
        announce(dataset)
    memory.put(key, _remembered(looked, looked if arrived else told))
    return arrived


def announce(dataset: str) -> None:
    """Emit the event that demonstrations have arrived in a dataset."""
    emit_event(
        event=ARRIVED,
        resource={
            "prefect.resource.id": resource_of(dataset),
            "prefect.resource.name": dataset,
        },
        payload={"dataset": dataset},
    )


def resource_of(dataset: str) -> str:
    """The resource of a dataset in events."""
    return f"dualvla.dataset.{digest_json(dataset)[:20]}"


def new_episodes(store: ArtifactStore, name: str, collection: ArtifactRef) -> int:
    """Episodes of a collection that the last completed training of the same name has not seen."""
    trained = [run for run in runs(store.objects) if (run.flow, run.name, run.state) == ("train", name, "completed")]
    seen: set[str] = set()
    for stage, key in used_refs(store.objects, trained[-1].id) if trained else ():
        manifest = store.find(stage, key) if stage == collection.stage else None
        if manifest is not None:
            seen |= _episodes(store, manifest.ref)
    return len(_episodes(store, collection) - seen)


def _train_when_due(
    store: ArtifactStore, config: PipelineConfig, curated: CurationArtifacts, train_after: int, deployment: str
) -> None:
    count = new_episodes(store, config.name, curated.collection)
    get_run_logger().info("%d episodes are new since the last training; it starts at %d.", count, train_after)
    if count >= train_after:
        run_deployment(
            deployment,
            parameters={"config": config.model_dump(mode="json")},
            timeout=0,
            as_subflow=False,
            idempotency_key=f"{deployment} {curated.collection.digest}",
        )


def _episodes(store: ArtifactStore, collection: ArtifactRef) -> set[str]:
    table = pq.read_table(store.folder(collection) / "collection.parquet", schema=schemas.COLLECTION)
    return set(table.column("episode").to_pylist())


def _recall(memory: ObjectStore, key: str) -> dict[str, str]:
    try:
        found: dict[str, str] = json.loads(memory.get(key))
    except MissingObjectError:
        return {}
    return found


def _remembered(seen: str, told: str | None) -> bytes:
    return json.dumps({"seen": seen, "told": told}).encode()
