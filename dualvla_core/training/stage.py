"""Trains a policy from folders to a folder, on every process of a training alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dualvla_core.distillation.compatibility import check_action_teacher, check_reasoning_teacher
from dualvla_core.distillation.objective import Objective, Teachers
from dualvla_core.distillation.shared import share_backbone
from dualvla_core.errors import ConfigError
from dualvla_core.models.adaptation import PartSize, parameter_table
from dualvla_core.models.batches import MultimodalCollator, RobotBatch, RobotCollator
from dualvla_core.models.dualvla import DualVLA
from dualvla_core.models.tokenizer import create_tokenizer
from dualvla_core.params import Summary
from dualvla_core.shards.reader import ShardReader
from dualvla_core.shards.statistics import STATISTICS_FILE
from dualvla_core.training.checkpoints import Checkpoints
from dualvla_core.training.data import HELD_OUT_SPLIT, TRAINING_SPLIT, Questions, RobotFrames, Source, robot_texts
from dualvla_core.training.engine import Engine, ProcessGroup
from dualvla_core.training.loop import Loop, TrainingListener
from dualvla_core.training.metrics import Metrics
from dualvla_core.training.plan import TrainingInputs, TrainingPlan
from dualvla_core.training.probe import Probe, flag_degeneration, probe_batch
from dualvla_core.training.schedule import Domain, derived_seed
from dualvla_core.training.teacher_cache import Recorder, taught_sources
from dualvla_core.training.tracking import Tracker

_INITIAL_WEIGHTS = 3  # purpose of a seed; the loop's are 0 to 2


def train_policy(
    plan: TrainingPlan,
    group: ProcessGroup,
    checkpoints: Checkpoints,
    output: Path,
    listener: TrainingListener,
    trackers: Sequence[Tracker] = (),
) -> Summary:
    """Train as ``plan`` says and write the policy (`DualVLA.save_pretrained`) and ``metrics.jsonl`` into ``output``.

    Called by every process of ``group``; the first one writes and returns the summary, the others an empty one. Raises
    `UserError` subclasses for inputs that do not fit each other, and `TrainingError` when the loss breaks.
    """
    student = initial_policy(plan)
    sources = student_sources(plan, student)
    student.to(group.device).train()
    if plan.training.freeze_action_head:
        student.action_head.requires_grad_(False)
    if group.execution.gradient_checkpointing:
        student.checkpoint_gradients()
    parts = parameter_table(student.backbone, student.action_head, student.config)  # ZeRO 3 takes weights apart
    if group.rank == 0:
        listener.begins(parts)
    teachers = _teachers(plan, student, group.device)
    objective = Objective(teachers, plan.training.flow_draws, group, student.config.action_head)
    engine = Engine(student, objective, plan.training, group)
    metrics = Metrics(output, trackers)
    probe = _probe(plan, student, objective, group.device)
    Loop(plan.training, sources, group, engine, metrics, checkpoints, listener, probe).run()
    with engine.gathered():
        if group.rank == 0:
            student.save_pretrained(output)
    group.barrier()
    return _size(parts) | _learnt(sources, metrics) | flag_degeneration(output) if group.rank == 0 else {}


def initial_policy(plan: TrainingPlan) -> DualVLA:
    """The policy before the first step: a fresh one with a vocabulary of the training texts, or the initial one."""
    inputs = plan.inputs
    if inputs.initial is not None:
        policy = DualVLA.from_pretrained(inputs.initial)
        policy.policy_type = plan.policy
        return policy
    if plan.model is None or inputs.statistics is None:
        raise ConfigError("A training was given neither an initial policy nor a model and statistics; give one.")
    shard = ShardReader(inputs.shards[0])
    torch.manual_seed(derived_seed(plan.training.seed, _INITIAL_WEIGHTS))
    return DualVLA(
        plan.model,
        create_tokenizer(_texts(inputs), plan.model),
        json.loads((inputs.statistics / STATISTICS_FILE).read_text()),
        embodiment=shard.embodiment.name,
        cameras=shard.cameras,
        policy_type=plan.policy,
    )


def training_sources(plan: TrainingPlan, student: DualVLA, split: str = TRAINING_SPLIT) -> dict[Domain, Source[Any]]:
    """The samples of each domain the training visits, or those of another split of the same data, as they are.

    A specialist's robot turns hold no reasoning.
    """
    config, inputs = plan.training, plan.inputs
    augmentation = config.augmentation if split == TRAINING_SPLIT else None
    robots = {ShardReader(folder).embodiment.name for folder in inputs.shards}
    if robots != {student.embodiment}:
        raise ConfigError(
            f"The shards are of {sorted(robots)}, but the policy drives {student.embodiment!r}; train one per robot."
        )
    frames = RobotFrames(inputs.shards, inputs.collection, student.config.action_chunk, split)
    collate = RobotCollator(
        student.tokenizer,
        student.config,
        student.statistics,
        embodiment=student.embodiment,
        cameras=student.cameras,
        reasoning="none" if plan.policy == "specialist" else "kept",
        augmentation=augmentation,
    )
    sources: dict[Domain, Source[Any]] = {"robot": Source(frames, collate)}
    if config.multimodal_every:
        if inputs.multimodal is None:
            raise ConfigError(
                f"multimodal_every = {config.multimodal_every}, but there is no multimodal shard; set it to 0."
            )
        ask = MultimodalCollator(student.tokenizer, student.config, augmentation)
        sources["multimodal"] = Source(Questions(inputs.multimodal, split), ask)
    return sources


def _probe(plan: TrainingPlan, student: DualVLA, objective: Objective, device: torch.device) -> Probe | None:
    """The probe of a plan that has one, on data its training never sees."""
    config = plan.training.probe
    if config is None:
        return None
    sources = training_sources(plan, student, HELD_OUT_SPLIT)
    robot = probe_batch(sources["robot"], config.frames, with_reasoning=plan.policy != "specialist")
    assert isinstance(robot, RobotBatch)
    questions = probe_batch(sources["multimodal"], config.questions) if "multimodal" in sources else None
    return Probe(config, objective, robot.to(device), None if questions is None else questions.to(device))


def student_sources(plan: TrainingPlan, student: DualVLA) -> dict[Domain, Source[Any]]:
    """`training_sources`, with what cached teachers said about each sample where the plan has such."""
    sources, config = training_sources(plan, student), plan.distillation
    if config is None or config.teachers != "cached":
        return sources
    if plan.inputs.teacher_cache is None:
        raise ConfigError("The teachers are to be cached, but no cache was given; make one, or set teachers to online.")
    padding = int(student.tokenizer.pad_token_id)
    terms = (config, plan.training.augmentation, student.config.action_head)
    return taught_sources(sources, plan.inputs.teacher_cache, *terms, padding)


def cache_teachers(
    plan: TrainingPlan, output: Path, device: torch.device, progress: Callable[[int, int], None]
) -> Summary:
    """Ask the teachers of ``plan`` about all of its training samples, once, and write their answers into ``output``.

    Raises `ConfigError` where the distillation has no teacher at all.
    """
    config, inputs = plan.distillation, plan.inputs
    assert config is not None
    asked: dict[Domain, Path | None] = {"robot": inputs.action_teacher if config.action_teacher else None}
    if plan.training.multimodal_every and config.reasoning_teacher:
        asked["multimodal"] = inputs.reasoning_teacher
    teachers = {domain: teacher for domain, folder in asked.items() if (teacher := _frozen(folder)) is not None}
    if not teachers:
        raise ConfigError("The distillation leaves out both teachers, so there is nothing to cache; keep one of them.")
    sources = {domain: training_sources(plan, teacher.to(device))[domain] for domain, teacher in teachers.items()}
    first = next(iter(teachers.values()))
    padding, head = int(first.tokenizer.pad_token_id), first.config.action_head
    recorder = Recorder(config, plan.training.augmentation, head, padding, device, progress)
    return recorder.write(sources, teachers, output)


def _texts(inputs: TrainingInputs) -> Iterator[str]:
    yield from robot_texts(inputs.shards, inputs.collection)
    if inputs.multimodal is not None:
        yield from Questions(inputs.multimodal).texts()


def _teachers(plan: TrainingPlan, student: DualVLA, device: torch.device) -> Teachers | None:
    config, inputs = plan.distillation, plan.inputs
    if config is None:
        return None
    if config.teachers == "shared" and plan.training.zero_stage == 3:
        raise ConfigError(
            "teachers = shared was asked for with zero_stage = 3, which takes the weights apart that would be shared; "
            "use another stage, or teachers = online."
        )
    action = _frozen(inputs.action_teacher if config.action_teacher else None)
    reasoning = _frozen(inputs.reasoning_teacher if config.reasoning_teacher else None)
    if action is not None:
        check_action_teacher(action, student)
    if reasoning is not None:
        check_reasoning_teacher(reasoning, student)
    if config.teachers == "cached":  # they were looked at above, and are let go
        return Teachers(config, None, None)
    asked = {"action teacher": action, "reasoning teacher": reasoning}
    present = {role: teacher for role, teacher in asked.items() if teacher is not None}
    if config.teachers == "shared":
        for role, teacher in present.items():
            share_backbone(role, teacher, student)
    for teacher in present.values():  # and what they share with the student
        teacher.to(device, torch.bfloat16 if plan.training.precision == "bf16" else torch.float32)
    return Teachers(config, action, reasoning)


def _frozen(folder: Path | None) -> DualVLA | None:
    return None if folder is None else DualVLA.from_pretrained(folder).eval().requires_grad_(False)


def _size(parts: Sequence[PartSize]) -> Summary:
    return {
        "parameters": sum(part.parameters for part in parts),
        "trainable_parameters": sum(part.trainable for part in parts),
    }


def _learnt(sources: Mapping[Domain, Source[Any]], metrics: Metrics) -> Summary:
    """How much data there was, and the last values of what was measured, by domain."""
    summary: Summary = {}
    for domain, source in sources.items():
        summary[f"{domain}_samples"] = len(source.samples)
        summary |= {f"{domain}_{name}": round(value, 6) for name, value in metrics.recent(domain).items()}
    return summary
