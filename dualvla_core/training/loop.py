"""The training loop: batches in their order, steps, the record, checkpoints, and the stop when a loss is broken."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dualvla_core.distillation.objective import Batch
from dualvla_core.errors import ConfigError
from dualvla_core.models.batches import Share
from dualvla_core.training import schedule
from dualvla_core.training.checkpoints import Checkpoints, CheckpointStore
from dualvla_core.training.config import TrainingConfig
from dualvla_core.training.data import Source, prefetched
from dualvla_core.training.engine import Engine, ProcessGroup
from dualvla_core.training.errors import TrainingError
from dualvla_core.training.metrics import Metrics
from dualvla_core.training.probe import HELD_OUT, Probe
from dualvla_core.training.schedule import Domain

_AUGMENTATION, _NOISE, _DROPOUT = range(3)
_NAMED = 5  # samples a message names


class StepListener(Protocol):
    """Hears of every step on the first process."""

    def __call__(self, done: int, total: int, samples_per_s: float, loss: float) -> None:
        """``done`` of ``total`` steps are done; speed over all processes, and the loss of the step."""


@dataclass(frozen=True)
class Loop:
    """One training on one of its processes.

    Args:
        config: what to do.
        sources: the samples of each domain that `TrainingConfig.multimodal_every` calls for.
        group: the processes.
        engine: the policy with its objective.
        metrics: the record.
        checkpoints: where its state is kept.
        listener: hears of progress.
        probe: what held-out data is measured on the way, if any.
    """

    config: TrainingConfig
    sources: Mapping[Domain, Source[Any]]
    group: ProcessGroup
    engine: Engine
    metrics: Metrics
    checkpoints: Checkpoints
    listener: StepListener
    probe: Probe | None = None

    def run(self) -> None:
        """Train to the last step, from the last checkpoint where there is one.

        Every process ends with the same weights, bit for bit those of a training that was never interrupted. Raises
        `TrainingError` for a loss or gradient that is not finite, `ConfigError` for batches the processes cannot share.
        """
        self._check_shares()
        start = self._resume()
        if start == 0:
            self._probe(0)
        clock = time.perf_counter()
        for step, (rows, batch) in prefetched(self._batch, range(start, self.config.steps)):
            values = self._step(step, rows, batch)
            done = step + 1
            if self.group.rank == 0:
                self.metrics.add(done, schedule.domain_of(self.config, step), values)
                before, clock = clock, time.perf_counter()
                self.listener(done, self.config.steps, len(rows) * self.group.size / (clock - before), values["loss"])
            self._probe(done)
            if self.checkpoints.store and done % self.checkpoints.every == 0 and done < self.config.steps:
                self._save(done, self.checkpoints.store)

    def _probe(self, done: int) -> None:
        """Measure held-out data after every so many steps; all processes do, the first writes it down."""
        if self.probe is None or done % self.probe.every:
            return
        with self.engine.gathered():
            values = self.probe.measure(self.engine.student)
        if self.group.rank == 0:
            self.metrics.add(done, HELD_OUT, values)

    def _batch(self, step: int) -> tuple[list[int], Batch]:
        """This process's samples of ``step`` and their batch."""
        source = self.sources[schedule.domain_of(self.config, step)]
        everyone = schedule.global_batch(self.config, step, len(source.samples))
        share = Share(self.group.rank, self.group.size)
        rows = everyone[share.first :: share.of].tolist()
        return rows, source.batch(rows, self._generator(step, _AUGMENTATION), share)

    def _step(self, step: int, rows: list[int], batch: Batch) -> dict[str, float]:
        """One optimizer step; returns what the record says of it, the same on every process."""
        torch.manual_seed(schedule.derived_seed(self.config.seed, step, _DROPOUT, self.group.rank))
        loss, terms = self.engine.compute(batch, self._generator(step, _NOISE))
        shared = dict(zip(terms, self.group.average(torch.stack(list(terms.values()))).tolist(), strict=True))
        if not math.isfinite(shared["loss"]):
            broken = not all(math.isfinite(value) for value in torch.stack(list(terms.values())).tolist())
            raise self._stop(
                step, f"The loss of step {step + 1} is not finite ({_listed(shared)})", rows, batch, broken
            )
        rate = schedule.learning_rate(self.config, step)
        norm = self.engine.update(loss, rate)
        if not math.isfinite(norm):
            message = f"The gradient of step {step + 1} is not finite (the loss is: {_listed(shared)})"
            raise self._stop(step, message, rows, batch, broken=True)
        return {**shared, "gradient_norm": norm, "learning_rate": rate}

    def _generator(self, step: int, purpose: int) -> torch.Generator:
        return torch.Generator().manual_seed(schedule.derived_seed(self.config.seed, step, purpose))

    def _check_shares(self) -> None:
        for domain in self.sources:
            size = self.config.robot_batch if domain == "robot" else self.config.multimodal_batch
            if size % self.group.size:
                raise ConfigError(
                    f"{domain}_batch = {size} cannot be shared equally by {self.group.size} processes; "
                    "choose a multiple."
                )

    def _resume(self) -> int:
        store = self.checkpoints.store
        latest = store.latest() if store and self.group.rank == 0 else None
        found: tuple[int, Path] | None = self.group.told_by_first(latest)
        if found is None:
            return 0
        step, folder = found
        self.engine.load(folder, self.checkpoints.scratch)
        if self.group.rank == 0:
            self.metrics.load(folder)
        return step

    def _save(self, step: int, store: CheckpointStore) -> None:
        folder = self.checkpoints.scratch / f"step-{step:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        self.engine.save(folder)
        self.group.barrier()
        if self.group.rank == 0:
            self.metrics.save(folder)
            store.save(step, folder)
            shutil.rmtree(folder)
        self.group.barrier()

    def _stop(self, step: int, message: str, rows: list[int], batch: Batch, broken: bool) -> TrainingError:
        """Save the batch of each process where the loss broke; all of them name the samples that may be why."""
        domain = schedule.domain_of(self.config, step)
        names = [self.sources[domain].samples.name(row) for row in rows] if broken else []
        folder = self.checkpoints.scratch / f"not-finite-step-{step + 1:06d}"
        if broken:
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(_tensors(batch), folder / f"batch-{self.group.rank}.pt")
            (folder / f"samples-{self.group.rank}.json").write_text(json.dumps(names, indent=1))
        odd = [name for name, finite in zip(names, _finite(batch), strict=False) if not finite]
        told = self.group.gathered((names, odd))
        held, suspected = (sorted(name for process in told for name in process[kind]) for kind in (0, 1))
        blame = f"the numbers of {_first(suspected)} are not either" if suspected else f"its batch held {_first(held)}"
        return TrainingError(
            f"{message}; {blame}. The batch was saved to {folder}: mend or leave out these samples, or lower "
            "learning_rate."
        )


def _finite(batch: Batch) -> list[bool]:
    """For each sample whether all its numbers are finite."""
    numbers = [value.flatten(1) for value in _tensors(batch).values() if value.is_floating_point()]
    return torch.cat(numbers, 1).isfinite().all(1).tolist()


def _first(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())


def _tensors(batch: Batch) -> dict[str, Tensor]:
    return {name: value for name, value in vars(batch).items() if isinstance(value, Tensor)}
