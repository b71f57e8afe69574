"""What a training can be told: what changes its result (keyed), and how it is executed (not keyed)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from dualvla_core.errors import ConfigError
from dualvla_core.models.config import AugmentationConfig
from dualvla_core.params import Params

TrackerName: TypeAlias = Literal["tensorboard", "wandb"]


class ProbeConfig(Params):
    """The degeneration probe: losses on held-out data while training; it changes nothing of the training."""

    every: int = Field(50, ge=1, description="Steps between two probes; one more is taken before the first step.")
    frames: int = Field(32, ge=1, description="Held-out frames that are probed (frames).")
    questions: int = Field(32, ge=1, description="Held-out questions that are probed (count).")


class TrainingConfig(Params):
    """One training. A step is one optimizer step on a batch of one domain, robot or multimodal."""

    steps: int = Field(1000, ge=1, description="Optimizer steps, of both domains together.")
    robot_batch: int = Field(64, ge=1, description="Robot frames per robot step, over all processes.")
    multimodal_batch: int = Field(32, ge=1, description="Questions per multimodal step, over all processes.")
    multimodal_every: int = Field(
        0, ge=0, description="Every n-th step is multimodal (8 = one in eight, 7:1); 0 = robot data only."
    )
    augmentation: AugmentationConfig | None = Field(
        AugmentationConfig(), description="How samples are varied; none = as they are."
    )
    flow_draws: int = Field(1, ge=1, description="Noise draws of the flow loss per robot frame.")
    freeze_action_head: bool = Field(
        False, description="Whether the action head keeps its weights; the paper's generalist and student keep it."
    )
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate of AdamW.")
    schedule: Literal["constant", "cosine"] = Field("cosine", description="Learning rate after the warm-up.")
    warmup_steps: int = Field(100, ge=0, description="Steps over which the learning rate rises linearly.")
    final_fraction: float = Field(
        0.02, ge=0, le=1, description="Last learning rate of the cosine, as share of the peak."
    )
    weight_decay: float = Field(0.05, ge=0, description="Decoupled weight decay of AdamW.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="Decay of AdamW's running moments.")
    clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    seed: int = Field(0, ge=0, description="Of initial weights, data order, noise and augmentation.")
    zero_stage: Literal[0, 1, 2, 3] = Field(
        2, description="DeepSpeed ZeRO: what processes share out. 1 = optimizer state, 2 = gradients, 3 = weights too."
    )
    probe: ProbeConfig | None = Field(
        None, description="Probing for action degeneration on held-out data; none = not probed."
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="Arithmetic of the model; losses are always fp32.")

    @model_validator(mode="after")
    def _some_robot_steps(self) -> Self:
        if self.multimodal_every == 1:
            raise ValueError("multimodal_every = 1 leaves no robot step; use 0, or 2 and above")
        return self


class OffloadConfig(Params):
    """What DeepSpeed keeps outside the GPUs' memory (ZeRO-Offload, ZeRO-Infinity)."""

    optimizer: Literal["cpu", "nvme"] | None = Field(
        None, description="Where the optimizer's state lies and its step is computed; cpu from ZeRO 1 on, nvme with 3."
    )
    weights: Literal["cpu", "nvme"] | None = Field(
        None, description="Where weights lie while they are not used; with ZeRO 3 alone."
    )
    folder: Path | None = Field(None, description="Folder on a fast disk of every machine, for nvme.")

    @model_validator(mode="after")
    def _somewhere_to_write(self) -> Self:
        if "nvme" in (self.optimizer, self.weights) and self.folder is None:
            raise ValueError("offloading to nvme needs a folder on that disk; set offload.folder")
        return self


class TrainingExecution(Params):
    """How a training runs on this machine or several; nothing here enters a key.

    The result is the same up to the order in which sums are formed. (Dropout, where a model has any, is drawn anew for
    each process and part of a batch.)
    """

    processes: int = Field(
        1, ge=1, description="Processes (one per GPU where there are any) the batch is shared among."
    )
    threads: int = Field(1, ge=1, description="CPU threads of each process.")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="Most samples a process takes through the model at once; it adds up the gradients of equal parts "
        "of its batch that are no larger. none = all of them.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Whether layers of the backbone are computed again in the backward pass instead of kept."
    )
    offload: OffloadConfig = Field(OffloadConfig(), description="What lies outside the GPUs' memory.")
    hostfile: Path | None = Field(
        None,
        description="Machines that train together, a line `name slots=processes` each, this one first; none = this "
        "one alone.",
    )
    remote_shell: str = Field(
        "ssh -tt -o BatchMode=yes", min_length=1, description="What runs a command on another machine of the hostfile."
    )
    port: int = Field(
        0, ge=0, le=65535, description="Port of the first machine where the others report; 0 = any free one."
    )
    checkpoint_every: int = Field(
        200, ge=1, description="Steps between two checkpoints, which a killed run goes on from."
    )
    trackers: tuple[TrackerName, ...] = Field(
        ("tensorboard",),
        description="Who hears of every step beside the record: tensorboard (event files in the cache), wandb (offline "
        "without WANDB_MODE).",
    )
    niceness: int = Field(
        0, ge=0, le=19, description="How far its processes stand back for others; a blind control always stands back."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto = GPUs where there are any.")


def check_offload(training: TrainingConfig, execution: TrainingExecution) -> None:
    """Raise `ConfigError` for an offload that the training's ZeRO stage cannot do."""
    offload, stage = execution.offload, training.zero_stage
    if offload.weights is not None and stage != 3:
        raise ConfigError(
            f"Offloading weights needs zero_stage = 3, found {stage}; set it, or offload.weights to none."
        )
    if offload.optimizer == "nvme" and stage != 3:
        raise ConfigError(f"Offloading to nvme needs zero_stage = 3, found {stage}; set it, or offload to cpu.")
    if offload.optimizer == "nvme" and training.multimodal_every and not training.freeze_action_head:
        raise ConfigError(
            "Offloading the optimizer to nvme needs batches that use every weight that trains, and questions leave the "
            "action head out; set freeze_action_head, or offload to cpu."
        )
    if offload.optimizer == "cpu" and stage == 0:
        raise ConfigError("Offloading the optimizer needs zero_stage 1, 2 or 3, found 0; set one of them.")
