"""The training loop: batches in their order, steps, the record, checkpoints, and the stop when a loss is broken."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dualvla_core.distillation.objective import Batch, Step
from dualvla_core.errors import ConfigError
from dualvla_core.models.adaptation import PartSize
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


class TrainingListener(Protocol):
    """Hears of a training on its first process."""

    def begins(self, parts: Sequence[PartSize]) -> None:
        """Before the first step: what the policy is made of, and what of it trains."""

    def stepped(self, done: int, total: int, samples_per_s: float, loss: float) -> None:
        """``done`` of ``total`` steps are done; speed over all processes, and the loss of the step."""


@dataclass(frozen=True)
class LoadedPart:
    """What a process takes through the model at once."""

    share: Share
    rows: list[int]
    batch: Batch


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
    listener: TrainingListener
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
        for step, parts in prefetched(self._parts, range(start, self.config.steps)):
            values = self._step(step, parts)
            done = step + 1
            if self.group.rank == 0:
                self.metrics.add(done, schedule.domain_of(self.config, step), values)
                before, clock = clock, time.perf_counter()
                samples = self.group.size * sum(len(part.rows) for part in parts)
                self.listener.stepped(done, self.config.steps, samples / (clock - before), values["loss"])
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

    def _parts(self, step: int) -> list[LoadedPart]:
        """This process's samples of ``step`` and their batch, in the equal parts it takes one after another."""
        source = self.sources[schedule.domain_of(self.config, step)]
        everyone = schedule.global_batch(self.config, step, len(source.samples))
        count = schedule.parts_of(len(everyone) // self.group.size, self.group.execution.micro_batch)
        parts = []
        for number in range(count):
            share = Share(self.group.rank + self.group.size * number, self.group.size * count)
            rows = everyone[share.first :: share.of].tolist()
            batch = source.batch(rows, self._generator(step, _AUGMENTATION), share)
            parts.append(LoadedPart(share, rows, batch))
        return parts

    def _step(self, step: int, parts: Sequence[LoadedPart]) -> dict[str, float]:
        """One optimizer step; returns what the record says of it, the same on every process."""
        torch.manual_seed(schedule.derived_seed(self.config.seed, step, _DROPOUT, self.group.rank))
        found: list[Step] = []
        for loaded, part in zip(parts, self.engine.parts([part.batch for part in parts]), strict=True):
            if found:
                self.engine.accumulate(found[-1].loss)
            found.append(self.engine.compute(loaded.batch, self._generator(step, _NOISE), part))
        own = torch.stack([torch.stack(list(each.terms.values())) for each in found]).sum(0)
        shared = dict(zip(found[0].terms, self.group.average(own).tolist(), strict=True))
        if not math.isfinite(shared["loss"]):
            broken = not bool(own.isfinite().all())
            raise self._stop(step, f"The loss of step {step + 1} is not finite ({_listed(shared)})", parts, broken)
        rate = schedule.learning_rate(self.config, step)
        norm = self.engine.update(found[-1].loss, rate)
        if not math.isfinite(norm):
            message = f"The gradient of step {step + 1} is not finite (the loss is: {_listed(shared)})"
            raise self._stop(step, message, parts, broken=True)
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

    def _stop(self, step: int, message: str, parts: Sequence[LoadedPart], broken: bool) -> TrainingError:
        """Save the batch of each process where the loss broke; all of them name the samples that may be why."""
        samples = self.sources[schedule.domain_of(self.config, step)].samples
        folder = self.checkpoints.scratch / f"not-finite-step-{step + 1:06d}"
        names: list[str] = []
        odd: list[str] = []
        for part in parts if broken else ():
            held = [samples.name(row) for row in part.rows]
            folder.mkdir(parents=True, exist_ok=True)
            torch.save(_tensors(part.batch), folder / f"batch-{part.share.first}.pt")
            (folder / f"samples-{part.share.first}.json").write_text(json.dumps(held, indent=1))
            names += held
            odd += [name for name, finite in zip(held, _finite(part.batch), strict=True) if not finite]
        told = self.group.gathered((names, odd))
        everything, suspected = (sorted(name for process in told for name in process[kind]) for kind in (0, 1))
        blame = f"its batch held {_first(everything)}"
        if suspected:
            blame = f"the numbers of {_first(suspected)} are not either"
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
