"""DeepSpeed ZeRO around a policy and its objective, on GPUs or CPUs alike.

The only module that knows DeepSpeed. On the CPU it communicates through gloo and needs no compiler.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from dualvla_core.distillation.objective import Batch, Objective, Part, Step
from dualvla_core.errors import DependencyError
from dualvla_core.training.config import OffloadConfig, TrainingConfig, TrainingExecution, check_offload
from dualvla_core.training.errors import TrainingError

_TAG = "state"


class ProcessGroup:
    """The processes of a training: those torchrun started, or this one alone. A `distillation.Ranks`.

    Making one starts DeepSpeed and, where that has not happened, torch.distributed; DeepSpeed remembers that for the
    life of the process, so `close` is for its end.
    """

    def __init__(self, execution: TrainingExecution) -> None:
        self.execution = execution
        cuda = execution.device == "cuda" or (execution.device == "auto" and torch.cuda.is_available())
        torch.set_num_threads(execution.threads)
        os.environ.setdefault("DS_ACCELERATOR", "cuda" if cuda else "cpu")
        os.environ.setdefault("LOCAL_RANK", "0")
        if not dist.is_initialized():
            backend = "nccl" if cuda else "gloo"
            if dist.is_torchelastic_launched():
                dist.init_process_group(backend)
            else:
                dist.init_process_group(backend, store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
        _start_deepspeed()
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")

    def average(self, values: Tensor) -> Tensor:
        """The mean of ``values`` over the processes, on the device."""
        if self.size == 1:
            return values.to(self.device)
        total = values.to(self.device, copy=True)
        dist.all_reduce(total)
        return total / self.size

    def barrier(self) -> None:
        """Wait for every process."""
        if self.size > 1:
            dist.barrier()

    def told_by_first(self, value: Any) -> Any:
        """What the first process calls this with, on all of them."""
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]

    def gathered(self, value: Any) -> list[Any]:
        """What each process calls this with, in order, on all of them."""
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def close(self) -> None:
        """Leave torch.distributed."""
        dist.destroy_process_group()


class _StepModule(nn.Module):
    """Computes the objective inside a ``forward``, around which ZeRO-3 gathers and frees weights."""

    def __init__(self, student: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.student: Any = student
        self._objective = objective
        self._given: tuple[Batch, torch.Generator, Part] | None = None

    def give(self, batch: Batch, generator: torch.Generator, part: Part) -> None:
        # by a side door: ZeRO-3 warns of arguments that are neither tensors nor tuples of them
        self._given = (batch, generator, part)

    def forward(self) -> Step:
        assert self._given is not None
        return self._objective.step(self.student, *self._given)


class Engine:
    """A policy in training; every process does the same to its own.

    A step is `compute` for each part of the batch, each but the last followed by `accumulate`, and then `update`.

    Raises `ConfigError` for an offload that the ZeRO stage cannot do, `DependencyError` where nothing here can write to
    a disk at the speed it takes.
    """

    def __init__(self, student: nn.Module, objective: Objective, config: TrainingConfig, group: ProcessGroup) -> None:
        check_offload(config, group.execution)
        self.student = student
        self._zero = config.zero_stage
        self._objective = objective
        self._group, self._device = group, group.device
        self._first = True  # whether the next backward pass begins a step
        self._module = _StepModule(student, objective)
        trainable = [parameter for parameter in student.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(
            trainable, lr=config.learning_rate, betas=config.betas, weight_decay=config.weight_decay
        )
        self._engine: Any
        self._engine, *_ = _deepspeed().initialize(
            model=self._module,
            model_parameters=trainable,
            optimizer=optimizer,
            config=_deepspeed_config(config, group.execution.offload),
        )
        if self._zero == 3:
            for rows in self._module.student.text_rows:  # the text's loss reads them outside the layer they are of
                _deepspeed().zero.register_external_parameter(self._module, rows)

    def parts(self, batches: Sequence[Batch]) -> list[Part]:
        """See `Objective.parts`."""
        return self._objective.parts(batches)

    def compute(self, batch: Batch, generator: torch.Generator, part: Part) -> Step:
        """Loss and terms of a part of this process's share of a batch."""
        self._module.give(batch.to(self._device), generator, part)
        step: Step = self._engine()
        return step

    def accumulate(self, loss: Tensor) -> None:
        """Backward pass of a part after which another one comes."""
        self._backward(loss, last=False)

    def update(self, loss: Tensor, learning_rate: float) -> float:
        """Backward pass of the last part and optimizer step; returns the norm of the whole gradient before clipping.

        The norm is NaN or infinite where the gradient is; the weights are then worth nothing.
        """
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._backward(loss, last=True)
        norm = self._unpartitioned_norm() if self._zero == 0 else None
        self._engine.step()
        if norm is None:
            norm = float(self._engine.get_global_grad_norm())
        return norm if norm >= 0 else float("nan")  # DeepSpeed reports -1 for a gradient that is not finite

    def save(self, folder: Path) -> None:
        """Write weights and optimizer state into ``folder``; every process writes its part."""
        self._engine.save_checkpoint(str(folder), tag=_TAG, save_latest=False)

    def load(self, folder: Path, scratch: Path) -> None:
        """Continue from what `save` wrote with the same ZeRO stage, by any number of processes.

        What another number of them wrote is turned into a universal checkpoint under ``scratch`` first: the numbers are
        the same, but the order in which later sums are formed is not. Raises `TrainingError` when there is nothing.
        """
        if not (folder / _TAG).is_dir():
            raise TrainingError(f"There is no checkpoint in {folder}; delete that folder to train from the start.")
        parts = len(list((folder / _TAG).glob("*_optim_states.pt")))
        if parts in (0, self._group.size):  # ZeRO 0 has none
            self._engine.load_checkpoint(str(folder), tag=_TAG)
            return
        universal = scratch / "universal"
        if self._group.rank == 0:
            _make_universal(folder / _TAG, universal / _TAG)
        self._group.barrier()
        # told to the engine late, because only now it is known whether it is needed
        self._engine._config.load_universal_checkpoint = True
        try:
            self._engine.load_checkpoint(str(universal), tag=_TAG)
        finally:
            self._engine._config.load_universal_checkpoint = False
        self._group.barrier()
        if self._group.rank == 0:
            shutil.rmtree(universal)

    @contextlib.contextmanager
    def gathered(self) -> Iterator[None]:
        """Within the block every weight of the student is whole; every process must enter it."""
        with _deepspeed().zero.GatheredParameters(list(self.student.parameters()), enabled=self._zero == 3):
            yield

    def _backward(self, loss: Tensor, *, last: bool) -> None:
        if self._first:
            self._forget_gradients()
        self._engine.set_gradient_accumulation_boundary(last)
        self._engine.backward(loss)
        self._first = last

    def _forget_gradients(self) -> None:
        """A weight that a batch does not use would otherwise be updated with the gradient of an earlier step."""
        optimizer = self._engine.optimizer
        if self._zero == 3:
            optimizer.grad_partitions_flat_buffer.zero_()
        if self._group.execution.offload.optimizer == "cpu":
            groups = "fp32_partitioned_groups_flat" if self._zero == 3 else "single_partition_of_fp32_groups"
            for weights in getattr(optimizer, groups):
                if weights.grad is not None:
                    weights.grad.zero_()

    def _unpartitioned_norm(self) -> float:
        gradients = [parameter.grad for parameter in self.student.parameters() if parameter.grad is not None]
        return float(torch.nn.utils.get_total_norm(gradients))


def _deepspeed() -> Any:
    """The library: imported late because it takes seconds and reads DS_ACCELERATOR then; it carries no types."""
    return importlib.import_module("deepspeed")


def _make_universal(checkpoint: Path, output: Path) -> None:
    """Convert a checkpoint of ZeRO 1 to 3 to one that any number of processes can load."""
    output.mkdir(parents=True)
    converter = importlib.import_module("deepspeed.checkpoint.ds_to_universal")
    options = argparse.Namespace(
        input_folder=str(checkpoint),
        output_folder=str(output),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,  # what it wants to know concerns tensor parallelism, which there is none of
    )
    with contextlib.redirect_stdout(io.StringIO()):
        converter.main(options)


def _start_deepspeed() -> None:
    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    deepspeed = _deepspeed()
    # Without this DeepSpeed compiles a shared-memory collective on first use, which takes a C++ compiler and minutes;
    # the switch is undocumented, the fall-back to gloo is not.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(verbose=False)


def _deepspeed_config(config: TrainingConfig, offload: OffloadConfig) -> dict[str, Any]:
    targets = {"offload_optimizer": offload.optimizer, "offload_param": offload.weights}
    if "nvme" in targets.values() and not _deepspeed().ops.__compatible_ops__["async_io"]:
        raise DependencyError(
            "Offloading to nvme needs libaio and a C++ compiler (DeepSpeed's async_io), which are not here; install "
            "them, or offload to cpu."
        )
    folder = {"nvme_path": str(offload.folder)}
    elsewhere = {
        name: {"device": device, **(folder if device == "nvme" else {})}
        for name, device in targets.items()
        if device is not None
    }
    return {
        "train_micro_batch_size_per_gpu": 1,  # DeepSpeed only multiplies it; the loop forms the batches
        "gradient_accumulation_steps": 1,  # `Engine` says itself where a step ends: domains differ in their parts
        "gradient_clipping": config.clip,
        "bf16": {"enabled": config.precision == "bf16"},
        "zero_optimization": {"stage": config.zero_stage, **elsewhere},
        "zero_allow_untested_optimizer": True,  # torch's AdamW: DeepSpeed's own needs a compiler on the CPU
        "zero_force_ds_cpu_optimizer": False,  # nor another for an optimizer that is offloaded: results stay the same
        "steps_per_print": 2**62,
    }
