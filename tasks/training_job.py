"""Launches a training in processes of its own, from inside a stage, and listens to it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import statistics
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from pydantic import Field

from dualvla_core.distillation.config import DistillationConfig
from dualvla_core.evaluation.policy import PolicyType
from dualvla_core.models.config import ModelConfig
from dualvla_core.params import Params, Summary
from dualvla_core.training.config import TrainingConfig, TrainingExecution, check_offload
from dualvla_core.training.errors import TrainingError
from dualvla_core.training.plan import TrainingPlan
from infra.lease import process_start
from infra.manifest import ArtifactRef
from infra.worker_process import WorkerCrashedError
from tasks.progress import publish_table, run_logger
from tasks.stage import Job, RunContext, Work, open_artifacts
from tasks.training_checkpoints import complete_checkpoints, discard_checkpoints
from tasks.training_launch import launched, processes_of
from tasks.training_sources import Source, TrainingSources
from tasks.training_worker import EVENT, TrainingJob

_TAIL = 20  # lines of log in an error
_LOG_EVERY_S = 10.0


class TrainingData(Params):
    """The committed data of a training."""

    shards: tuple[ArtifactRef, ...] = Field(description="Robot shards, pruned or not.")
    collection: ArtifactRef = Field(description="Which episodes are for training.")
    multimodal: ArtifactRef | None = Field(default=None, description="The multimodal shard.")
    teacher_cache: ArtifactRef | None = Field(default=None, description="What the student's teachers said about it.")


@dataclass
class _Told:
    """What the workers have said so far."""

    summary: Summary | None = None
    parts: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    crash: str | None = None
    speeds: list[float] = field(default_factory=list)
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_TAIL))
    next_logged: float = 0.0


def training_work(
    run: RunContext,
    policy: PolicyType,
    data: TrainingData,
    others: Mapping[str, Source],
    execution: TrainingExecution,
    training: TrainingConfig,
    model: ModelConfig | None = None,
    distillation: DistillationConfig | None = None,
) -> Work:
    """The work of a training stage. ``others`` are the fields of `TrainingInputs` beside the data.

    Raises `ConfigError` for an execution that cannot do this training.
    """
    check_offload(training, execution)
    given: dict[str, Source | None] = {
        "shards": data.shards,
        "collection": data.collection,
        "multimodal": data.multimodal,
        "teacher_cache": data.teacher_cache,
        **others,
    }
    sources = TrainingSources({role: source for role, source in given.items() if source is not None})
    params: dict[str, Any] = {"training": training.model_dump(mode="json")}
    if model is not None:
        params["model"] = model.model_dump(mode="json")
    if distillation is not None:
        params["distillation"] = distillation.keyed()
    measured: dict[str, Any] = {"teachers": sources.names} if sources.names else {}

    def body(job: Job) -> Summary:
        plan = TrainingPlan(
            policy=policy,
            training=training,
            model=model,
            distillation=distillation,
            inputs=sources.open(job.store),
        )
        return run_training(run, job, plan, execution, measured)

    return Work(
        params=params,
        inputs=sources.artifacts,
        facts=sources.facts,
        body=body,
        provenance=measured,
        committed=lambda ref: discard_checkpoints(open_artifacts(run).objects, ref.key),
    )


def run_training(
    run: RunContext, job: Job, plan: TrainingPlan, execution: TrainingExecution, measured: dict[str, Any]
) -> Summary:
    """Train ``plan`` into ``job.output`` under torchrun, from the furthest checkpoint of the key where there is one.

    It may go on with another number of processes than it began with; only with the same is the result the same bytes.
    ``measured`` receives what belongs to the run and not to its result: speed, processes, sizes of the policy's parts.

    Raises `TrainingError` for what a worker says is wrong, `WorkerCrashedError` with the end of the log when one dies.
    """
    scratch = job.store.cache / "training" / job.key / job.attempt
    scratch.mkdir(parents=True, exist_ok=True)
    tracking = job.store.cache / "tracking" / f"{plan.policy}-{job.key}"
    if execution.trackers:
        run_logger().info("Tracked by %s in %s.", " and ".join(execution.trackers), tracking)
    begun = next(complete_checkpoints(job.store.objects, job.key), None)
    description = TrainingJob(
        plan=plan,
        execution=execution,
        output=job.output,
        scratch=scratch,
        tracking=tracking,
        store_uri=run.store_uri,
        s3_endpoint=run.s3_endpoint,
        key=job.key,
        attempt=job.attempt,
        processes=processes_of(execution),
        host=socket.gethostname(),
        launcher=os.getpid(),
        launcher_started=process_start(os.getpid()),
    )
    (scratch / "job.json").write_text(description.model_dump_json(indent=1))
    told = _Told()
    with (scratch / "log.txt").open("w") as log, launched(execution, scratch / "job.json") as training:
        for line in training.lines:
            _hear(line, told, log, job)
        returncode = training.wait()
    if returncode != 0 or told.summary is None:
        raise _failure(told, returncode, scratch / "log.txt")
    shutil.rmtree(scratch)
    if told.summary.get("degeneration"):
        run_logger().warning(
            "Action degeneration: on held-out episodes the action loss rose by %.0f %% while the loss of text fell.",
            100 * float(told.summary["held_out_action_change"]),
        )
    measured |= {
        "parts": told.parts,
        "processes": description.processes,
        "continued_from_step": 0 if begun is None else begun[1].step,
        "samples_per_s": round(statistics.median(told.speeds), 2) if told.speeds else 0.0,
    }
    return told.summary


def _hear(line: str, told: _Told, log: IO[str], job: Job) -> None:
    if not line.strip():
        return
    try:
        event = json.loads(line)[EVENT] if line.startswith(f'{{"{EVENT}"') else None
    except ValueError:  # another process wrote into its line
        event = None
    if event is None:
        told.log.append(line.rstrip())
        log.write(line)
        run_logger().info(line.rstrip())
    elif "parts" in event:
        told.parts = event["parts"]
        _show_parts(job, told.parts)
    elif "done" in event:
        job.progress(event["done"], event["total"])
        told.speeds.append(event["samples_per_s"])
        _log_step(event, told)
    elif "summary" in event:
        told.summary = event["summary"]
    elif "error" in event:
        told.error = told.error or event["error"]
    else:
        told.crash = told.crash or event["crash"]


def _show_parts(job: Job, parts: list[dict[str, Any]]) -> None:
    """What the policy is made of and what of it trains, in the task's log and as a table in Prefect."""
    publish_table("policy-parts", parts, f"What trains in `{job.key}`")
    rows = [f"{part['module']:<12}{part['parameters']:>16,}{part['trainable']:>16,}" for part in parts]
    run_logger().info("\n".join([f"{'module':<12}{'parameters':>16}{'trainable':>16}", *rows]))


def _log_step(event: Mapping[str, Any], told: _Told) -> None:
    """A line in the task's log every ten seconds, and for the last step."""
    if event["done"] == event["total"] or time.monotonic() >= told.next_logged:
        told.next_logged = time.monotonic() + _LOG_EVERY_S
        text = "step %d of %d, loss %.4f, %.1f samples/s"
        run_logger().info(text, event["done"], event["total"], event["loss"], event["samples_per_s"])


def _failure(told: _Told, returncode: int, log: Path) -> Exception:
    if told.error is not None:
        return TrainingError(told.error)
    last = told.crash or "\n".join(told.log)
    return WorkerCrashedError(
        f"A training process died (torchrun ended with {returncode}); run again to continue from its last checkpoint. "
        f"Its log is {log}, and ends with:\n{last}"
    )
