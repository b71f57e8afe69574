"""The deployments: what runs by hand, by schedule and by event, in which work pool."""

from __future__ import annotations

import json
from datetime import timedelta
from importlib.resources import files
from typing import Any, Literal

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.exceptions import ObjectNotFound
from prefect.types.entrypoint import EntrypointType
from prefect.workers.process import ProcessWorker
from pydantic import Field

from dualvla_core.params import Params
from dualvla_core.pipeline_config import PipelineConfig
from flows.arrivals import ARRIVED, arrivals, resource_of, watch
from flows.curate import curate
from flows.promote import promote
from flows.train import train
from infra.prefect.automations import (
    DEPLOYED,
    begin_crashed_runs_again,
    install,
    mark_dead_runs,
    tell_failures,
    webhook_block,
)
from tasks.stage import LIMITS

MERGE_ARRIVALS = timedelta(seconds=60)
"""How long arrivals are gathered into one run."""


class DeployOptions(Params):
    """What `dualvla deploy` is told beside the configuration."""

    pool: str = Field(default="dualvla", description="The work pool that runs everything.")
    pool_type: Literal["process", "docker"] = Field(default="process", description="What the pool's workers start.")
    image: str | None = Field(default=None, description="Image of a Docker pool.")
    train_cron: str | None = Field(default=None, description="When training starts by itself, as cron.")
    timezone: str = Field(default="UTC", description="The time zone of the schedule.")
    train_after: int | None = Field(default=None, description="New episodes that start a training.")
    watch_every_s: int | None = Field(default=None, description="How often the dataset's place is looked at, s.")
    notify_url: str | None = Field(default=None, description="Web address that failures are posted to.")
    notify_block: str | None = Field(default=None, description="Notification block for failures, as SLUG/NAME.")
    limits: dict[str, int] = Field(default={}, description="Most tasks at once by tag, over all machines.")


DEFAULT_LIMITS = {"decode": 2, "gpu": 1, "judge": 4}
assert DEFAULT_LIMITS.keys() == LIMITS.keys()


def deploy(config: PipelineConfig, options: DeployOptions) -> list[str]:
    """Create or update pool, limits, deployments and automations; returns the deployments' names."""
    with get_client(sync_client=True) as client:
        _ensure_pool(client, options)
        for tag, most in (DEFAULT_LIMITS | options.limits).items():
            client.create_concurrency_limit(tag, most)
        deployments = list(_deployments(config, options))
        for deployment in deployments:
            deployment.apply()
        automations = [mark_dead_runs(), begin_crashed_runs_again()]
        block = webhook_block(options.notify_url) if options.notify_url else options.notify_block
        if block:
            automations.append(tell_failures(block, client))
        install(client, automations)
    return [f"{deployment.flow_name}/{deployment.name}" for deployment in deployments]


def pool_template(pool_type: str, image: str | None) -> dict[str, Any]:
    """The base job template of a pool."""
    if pool_type == "process":
        return ProcessWorker.get_default_base_job_template()
    template: dict[str, Any] = json.loads((files("infra.docker") / "pool.json").read_text())
    if image:
        template["variables"]["properties"]["image"]["default"] = image
    return template


def _ensure_pool(client: SyncPrefectClient, options: DeployOptions) -> None:
    template = pool_template(options.pool_type, options.image)
    try:
        client.read_work_pool(options.pool)
    except ObjectNotFound:
        client.create_work_pool(WorkPoolCreate(name=options.pool, type=options.pool_type, base_job_template=template))
    else:
        client.update_work_pool(options.pool, WorkPoolUpdate(base_job_template=template))


def _deployments(config: PipelineConfig, options: DeployOptions) -> list[RunnerDeployment]:
    name, dataset, given = config.name, config.dataset.path, {"config": config.model_dump(mode="json")}
    nightly = CronSchedule(cron=options.train_cron, timezone=options.timezone) if options.train_cron else None
    arrived = DeploymentEventTrigger(
        name=f"dualvla: arrivals of {name}",
        expect={ARRIVED},
        match={"prefect.resource.id": resource_of(dataset) if dataset else "dualvla.dataset.*"},
        for_each={"prefect.resource.id"},
        threshold=1,
        within=MERGE_ARRIVALS,  # fires at the first arrival, then not again for so long
        schedule_after=MERGE_ARRIVALS,  # and the run waits as long, so that it finds the others too
        parameters={"dataset": "{{ event.payload.dataset }}"},
    )
    trained = DeploymentEventTrigger(
        name=f"dualvla: promotion of {name}",
        expect={"prefect.flow-run.Completed"},
        match_related={"prefect.resource.name": name, "prefect.resource.role": "deployment"},
        match={"prefect.resource.name": f"train {name}*"},
    )
    growth = {"train_after": options.train_after, "train_deployment": f"{train.name}/{name}"}
    found = [
        _deployment(curate, config, options, given),
        _deployment(train, config, options, given, schedule=nightly),
        _deployment(arrivals, config, options, {**given, **growth, "dataset": dataset}, trigger=arrived),
        _deployment(promote, config, options, given, trigger=trained),
    ]
    if options.watch_every_s and dataset:
        every = IntervalSchedule(interval=timedelta(seconds=options.watch_every_s))
        found.append(_deployment(watch, config, options, {"dataset": dataset}, schedule=every))
    return found


def _deployment(
    flow: Flow[..., Any],
    config: PipelineConfig,
    options: DeployOptions,
    parameters: dict[str, Any],
    schedule: CronSchedule | IntervalSchedule | None = None,
    trigger: DeploymentEventTrigger | None = None,
) -> RunnerDeployment:
    """A deployment whose code is imported where it runs: the project is installed there, or in the image."""
    return RunnerDeployment.from_flow(
        flow,
        name=config.name,
        entrypoint_type=EntrypointType.MODULE_PATH,
        work_pool_name=options.pool,
        parameters={name: value for name, value in parameters.items() if value is not None},
        schedules=[schedule] if schedule else None,
        triggers=[trigger] if trigger else None,
        tags=["dualvla", DEPLOYED, f"data:{config.name}"],
        description=(flow.description or "").strip(),
    )
